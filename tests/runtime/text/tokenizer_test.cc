// The expectations in fixtures/*/expected.json are what Hugging Face's `tokenizers` does.
#include "runtime/text/tokenizer.h"

#include <thread>
#include <vector>

#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "tests/runtime/text/fixtures.h"

namespace hocket {
namespace {

using ::hocket::testing::FixtureTokenizer;
using ::hocket::testing::ScratchDir;
using ::testing::AllOf;
using ::testing::ElementsAre;
using ::testing::HasSubstr;

class TokenizerAgreement : public ::testing::TestWithParam<const char*> {
 protected:
  const Tokenizer& tokenizer_ = FixtureTokenizer(GetParam());
  const nlohmann::json expected_ = hocket::testing::ReadExpected(GetParam());
};

TEST_P(TokenizerAgreement, EncodesAndDecodesAsTheEcosystemDoes) {
  ASSERT_GT(expected_["cases"].size(), 20u);
  for (const auto& test : expected_["cases"]) {
    SCOPED_TRACE(test["name"].get<std::string>());
    const auto text = test["text"].get<std::string>();
    const auto ids = test["ids"].get<std::vector<TokenId>>();
    EXPECT_EQ(*tokenizer_.Encode(text, false), ids);
    EXPECT_EQ(*tokenizer_.Encode(text, true), test["ids_with_special"].get<std::vector<TokenId>>());
    EXPECT_EQ(*tokenizer_.Decode(ids, false), test["decoded"].get<std::string>());
    EXPECT_EQ(*tokenizer_.Decode(ids, true), test["decoded_without_special"].get<std::string>());
  }
}

TEST_P(TokenizerAgreement, KnowsItsVocabulary) {
  EXPECT_EQ(tokenizer_.vocabulary_size(), expected_["vocabulary_size"].get<int>());
  std::vector<TokenId> special;
  for (TokenId token = -1; token <= tokenizer_.vocabulary_size(); ++token) {
    if (tokenizer_.IsSpecial(token)) special.push_back(token);
  }
  EXPECT_EQ(special, expected_["special_ids"].get<std::vector<TokenId>>());
  for (const auto& [id, piece] : expected_["pieces"].items()) {
    EXPECT_EQ(tokenizer_.IdToPiece(std::stoi(id)), piece.get<std::string>());
    EXPECT_EQ(tokenizer_.PieceToId(piece.get<std::string>()), std::stoi(id));
  }
  EXPECT_EQ(tokenizer_.IdToPiece(-1), std::nullopt);
  EXPECT_EQ(tokenizer_.IdToPiece(tokenizer_.vocabulary_size()), std::nullopt);
  EXPECT_EQ(tokenizer_.PieceToId("no such piece"), std::nullopt);
}

TEST_P(TokenizerAgreement, RefusesInvalidUtf8WithTheByteOffset) {
  const absl::Status status = tokenizer_.Encode("caf\xC3\xA9 \xE2\x82 x", false).status();
  EXPECT_EQ(status.code(), absl::StatusCode::kInvalidArgument);
  EXPECT_THAT(status.message(), HasSubstr("not valid UTF-8 at byte 6"));
}

TEST_P(TokenizerAgreement, EncodesTextWithANulByte) {
  const std::string text("a\0b", 3);
  EXPECT_EQ(*tokenizer_.Decode(*tokenizer_.Encode(text, false), false), text);
}

TEST_P(TokenizerAgreement, PaddedIdsHaveNoTextAndNegativeOnesAreRefused) {
  std::vector<TokenId> tokens = *tokenizer_.Encode("voice", false);
  tokens.push_back(tokenizer_.vocabulary_size() + 7);
  EXPECT_EQ(*tokenizer_.Decode(tokens, false), "voice");
  tokens.push_back(-3);
  const absl::Status status = tokenizer_.Decode(tokens, false).status();
  EXPECT_EQ(status.code(), absl::StatusCode::kInvalidArgument);
  EXPECT_THAT(status.message(), HasSubstr("-3"));
}

TEST_P(TokenizerAgreement, ServesManyThreadsAtOnce) {
  std::vector<std::thread> threads;
  for (int i = 0; i < 4; ++i) {
    threads.emplace_back([this] {
      for (const auto& test : expected_["cases"]) {
        EXPECT_EQ(*tokenizer_.Encode(test["text"].get<std::string>(), false),
                  test["ids"].get<std::vector<TokenId>>());
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
}

INSTANTIATE_TEST_SUITE_P(Fixtures, TokenizerAgreement,
                         ::testing::Values("byte_level", "byte_fallback"));

// The file asks for truncation to 3 tokens and padding to 8.
TEST(Tokenizer, IgnoresTheFilesTruncationAndPadding) {
  const Tokenizer& tokenizer = FixtureTokenizer("byte_level");
  EXPECT_EQ(tokenizer.Encode("a", false)->size(), 1u);
  EXPECT_EQ(tokenizer.Encode("zzzzzzzzzz", false)->size(), 10u);
}

// The crate's own decoder would give one U+FFFD for each of the four byte tokens.
TEST(Tokenizer, ByteFallbackKeepsCharactersBesideIllFormedBytes) {
  const Tokenizer& tokenizer = FixtureTokenizer("byte_fallback");
  std::vector<TokenId> tokens;
  for (const char* piece : {"<0xE2>", "<0x82>", "<0xAC>", "<0xFF>"}) {
    tokens.push_back(tokenizer.PieceToId(piece).value());
  }
  EXPECT_EQ(*tokenizer.Decode(tokens, true), "€\uFFFD");
}

TEST(Tokenizer, LoadNamesTheMissingFile) {
  ScratchDir dir;
  const absl::Status status = Tokenizer::Load(dir.path()).status();
  EXPECT_EQ(status.code(), absl::StatusCode::kNotFound);
  EXPECT_THAT(status.message(), HasSubstr(dir.path() + "/tokenizer.json"));
}

TEST(Tokenizer, LoadNamesTheFileAndTheCause) {
  ScratchDir dir;
  dir.Write("tokenizer.json", "{\"version\": \"1.0\", }");
  absl::Status status = Tokenizer::Load(dir.path()).status();
  EXPECT_EQ(status.code(), absl::StatusCode::kInvalidArgument);
  EXPECT_THAT(status.message(),
              AllOf(HasSubstr(dir.path() + "/tokenizer.json"), HasSubstr("line 1 column")));
  dir.Write("tokenizer.json", "{}");
  status = Tokenizer::Load(dir.path()).status();
  EXPECT_EQ(status.code(), absl::StatusCode::kInvalidArgument);
  EXPECT_THAT(status.message(), HasSubstr("Model missing"));
}

// The default model's own tokenizer: what it encodes, it decodes, whatever the text.
TEST(Tokenizer, TheDefaultModelsTokenizerLosesNothing) {
  const std::string dir = std::string(HOCKET_SOURCE_DIR) + "/models/tales";
  absl::StatusOr<std::unique_ptr<Tokenizer>> tokenizer = Tokenizer::Load(dir);
  if (absl::IsNotFound(tokenizer.status())) GTEST_SKIP() << "no default model in this tree yet";
  ASSERT_TRUE(tokenizer.ok()) << tokenizer.status();
  const nlohmann::json expected = hocket::testing::ReadExpected("byte_level");
  for (const auto& test : expected["cases"]) {
    SCOPED_TRACE(test["name"].get<std::string>());
    const auto text = test["text"].get<std::string>();
    EXPECT_EQ(*(*tokenizer)->Decode(*(*tokenizer)->Encode(text, false), false), text);
  }
  const std::optional<TokenId> end = (*tokenizer)->PieceToId("<|endoftext|>");
  ASSERT_TRUE(end.has_value());
  EXPECT_TRUE((*tokenizer)->IsSpecial(*end));
  EXPECT_THAT(*(*tokenizer)->Encode("<|endoftext|>", false), ElementsAre(*end));
}

}  // namespace
}  // namespace hocket
