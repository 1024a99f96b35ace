#include "service/request_body.h"

#include <google/protobuf/text_format.h>
#include <gtest/gtest.h>

#include <string>

namespace hocket {
namespace {

RequestBody Body(const std::string& text, const std::string& model = "m") {
  v1::GenerateRequest request;
  EXPECT_TRUE(google::protobuf::TextFormat::ParseFromString(text, &request)) << text;
  return BodyOf(request, model);
}

bool Same(const std::string& first, const std::string& again) {
  return Body(first).IsSentAgainBy(Body(again), std::nullopt);
}

TEST(RequestBodyTest, IdAndResumeAreNoPartOfIt) {
  EXPECT_TRUE(Same("text: 'a' request_id: '1'", "text: 'a' request_id: '2'"));
  EXPECT_TRUE(Same("text: 'a'", "text: 'a' resume { token_offsets: 4 }"));
  EXPECT_TRUE(Same("text: 'a'", "text: 'a' model: 'm'"));
}

TEST(RequestBodyTest, AllElseIs) {
  EXPECT_FALSE(Same("text: 'a'", "text: 'b'"));
  EXPECT_FALSE(Same("text: 'a'", "text: 'a' stopping { max_new_tokens: 1 }"));
  EXPECT_FALSE(Same("text: 'a'", "text: 'a' choices { n: 1 }"));
  EXPECT_FALSE(Same("text: 'a'", "tokens { ids: 97 }"));
  EXPECT_FALSE(Body("text: 'a'").IsSentAgainBy(Body("text: 'a'", "other"), std::nullopt));
  v1::ScoreRequest score;
  score.set_text("a");
  v1::EmbedRequest embed;
  embed.set_text("a");
  EXPECT_NE(BodyOf(score, "m").digest, BodyOf(embed, "m").digest);
  EXPECT_EQ(BodyOf(score, "m").digest.size(), 32u);
}

TEST(RequestBodyTest, TheOrderOfAMapDoesNotCount) {
  std::string forth = "text: 'a' sampling {";
  std::string back = forth;
  for (int i = 0; i < 50; ++i) {
    forth += " logit_bias { key: " + std::to_string(i) + " value: 1 }";
    back += " logit_bias { key: " + std::to_string(49 - i) + " value: 1 }";
  }
  EXPECT_TRUE(Same(forth + "}", back + "}"));
}

TEST(RequestBodyTest, ASeedIsTheSameOrNotGiven) {
  EXPECT_TRUE(Same("text: 'a' sampling { seed: 5 }", "text: 'a'"));
  EXPECT_TRUE(Same("text: 'a' sampling { seed: 5 }", "text: 'a' sampling { seed: 5 }"));
  EXPECT_FALSE(Same("text: 'a' sampling { seed: 5 }", "text: 'a' sampling { seed: 6 }"));
  EXPECT_FALSE(Same("text: 'a'", "text: 'a' sampling { seed: 6 }"));
  const RequestBody unseeded = Body("text: 'a'");
  EXPECT_TRUE(unseeded.IsSentAgainBy(Body("text: 'a' sampling { seed: 6 }"), 6));
  EXPECT_FALSE(unseeded.IsSentAgainBy(Body("text: 'a' sampling { seed: 7 }"), 6));
}

}  // namespace
}  // namespace hocket
