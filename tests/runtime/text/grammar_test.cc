#include "runtime/text/grammar.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <array>
#include <nlohmann/json.hpp>
#include <random>
#include <string>
#include <vector>

#include "tests/runtime/text/fixtures.h"

namespace hocket {
namespace {

using ::testing::HasSubstr;

constexpr TokenId kEnd = 1;

class GrammarTest : public ::testing::TestWithParam<const char*> {
 protected:
  void SetUp() override {
    const std::string folder =
        std::string(HOCKET_SOURCE_DIR) + "/tests/runtime/text/fixtures/" + GetParam();
    auto tokenizer = Tokenizer::Load(folder);
    ASSERT_TRUE(tokenizer.ok()) << tokenizer.status();
    tokenizer_ = *std::move(tokenizer);
    // As a model whose head has padded rows.
    words_.resize(static_cast<size_t>(tokenizer_->vocabulary_size() + 70) / 32);
    const std::array<TokenId, 1> ends = {kEnd};
    auto vocabulary =
        GrammarVocabulary::Make(*tokenizer_, ends, tokenizer_->vocabulary_size() + 40);
    ASSERT_TRUE(vocabulary.ok()) << vocabulary.status();
    vocabulary_ = *std::move(vocabulary);
  }

  std::vector<TokenId> Allowed(GrammarMatcher& matcher) {
    const absl::Status status = matcher.Mask(words_);
    EXPECT_TRUE(status.ok()) << status;
    std::vector<TokenId> tokens;
    for (size_t i = 0; i < words_.size() * 32; ++i) {
      if ((words_[i / 32] >> (i % 32) & 1) != 0) tokens.push_back(static_cast<TokenId>(i));
    }
    return tokens;
  }

  // A text of tokens drawn evenly among those allowed, up to the end.
  std::string RandomText(const Grammar& grammar, std::mt19937_64& random) {
    auto matcher = grammar.NewMatcher();
    EXPECT_TRUE(matcher.ok()) << matcher.status();
    std::vector<TokenId> tokens;
    for (int step = 0; step < 5000; ++step) {
      const std::vector<TokenId> allowed = Allowed(**matcher);
      if (allowed.empty()) return "(nothing is allowed)";
      const TokenId token = allowed[random() % allowed.size()];
      EXPECT_LT(token, tokenizer_->vocabulary_size());
      if (token == kEnd) break;
      tokens.push_back(token);
      const absl::StatusOr<bool> complete = (*matcher)->Accept(token);
      EXPECT_TRUE(complete.ok()) << complete.status();
      if (!complete.ok() || *complete) break;
    }
    return tokenizer_->Decode(tokens, false).value_or("(cannot be decoded)");
  }

  std::unique_ptr<Tokenizer> tokenizer_;
  std::unique_ptr<GrammarVocabulary> vocabulary_;
  std::vector<uint32_t> words_;
};

TEST_P(GrammarTest, WhateverIsDrawnIsValidJson) {
  const char* const schema = R"({"type": "object", "properties": {
      "name": {"type": "string", "maxLength": 12}, "age": {"type": "integer", "maximum": 999},
      "tags": {"type": "array", "items": {"enum": ["a", "b"]}, "maxItems": 3}, "ok": {"type": "boolean"}},
      "required": ["name", "age", "tags", "ok"], "additionalProperties": false})";
  auto grammar = vocabulary_->Compile(GrammarKind::kJsonSchema, schema);
  ASSERT_TRUE(grammar.ok()) << grammar.status();
  std::mt19937_64 random(6);
  for (int round = 0; round < 20; ++round) {
    const std::string text = RandomText(**grammar, random);
    const auto json = nlohmann::json::parse(text, nullptr, /*allow_exceptions=*/false);
    ASSERT_TRUE(json.is_object()) << text;
    EXPECT_TRUE(json["name"].is_string() && json["age"].is_number_integer() &&
                json["tags"].is_array() && json["ok"].is_boolean())
        << text;
  }
}

TEST_P(GrammarTest, ChoicesAndExpressionsAreKeptTo) {
  std::mt19937_64 random(7);
  auto choices = vocabulary_->Compile(GrammarKind::kChoices, R"(["red", "green", "no color"])");
  ASSERT_TRUE(choices.ok()) << choices.status();
  auto digits = vocabulary_->Compile(GrammarKind::kRegex, "[0-9]{3}-[0-9]{4}");
  ASSERT_TRUE(digits.ok()) << digits.status();
  for (int round = 0; round < 20; ++round) {
    EXPECT_THAT(RandomText(**choices, random), ::testing::AnyOf("red", "green", "no color"));
    EXPECT_THAT(RandomText(**digits, random), ::testing::MatchesRegex("[0-9]{3}-[0-9]{4}"));
  }
}

TEST_P(GrammarTest, WhatIsWrongIsSaidInTheLibrarysWords) {
  const auto message = [&](GrammarKind kind, const char* text) {
    const auto grammar = vocabulary_->Compile(kind, text);
    EXPECT_TRUE(absl::IsInvalidArgument(grammar.status())) << grammar.status();
    return std::string(grammar.status().message());
  };
  EXPECT_THAT(message(GrammarKind::kJsonSchema, "{\"a\": }"), HasSubstr("line 1 column 7"));
  EXPECT_THAT(message(GrammarKind::kJsonSchema, R"({"type": "objekt"})"), HasSubstr("objekt"));
  EXPECT_THAT(message(GrammarKind::kLark, "start: a\nb: \"x\""), HasSubstr("a"));
  message(GrammarKind::kRegex, "[a");
}

TEST_P(GrammarTest, ATokenThatWasNotAllowedIsAnErrorOfThatTextOnly) {
  auto grammar = vocabulary_->Compile(GrammarKind::kChoices, R"(["12"])");
  ASSERT_TRUE(grammar.ok()) << grammar.status();
  auto matcher = (*grammar)->NewMatcher();
  auto other = (*grammar)->NewMatcher();
  const TokenId x = tokenizer_->Encode("x", false)->back();
  EXPECT_TRUE(absl::IsFailedPrecondition((*matcher)->Accept(x).status()));
  EXPECT_FALSE(Allowed(**other).empty());
}

TEST_P(GrammarTest, AForkGoesOnFromTheSamePlaceOnItsOwnWay) {
  auto grammar = vocabulary_->Compile(GrammarKind::kRegex, "[0-9]{4}x");
  ASSERT_TRUE(grammar.ok()) << grammar.status();
  const auto accept_any = [&](GrammarMatcher& matcher) {
    return matcher.Accept(Allowed(matcher).at(0)).ok();
  };
  auto matcher = (*grammar)->NewMatcher();
  ASSERT_TRUE(accept_any(**matcher));
  auto fork = (*matcher)->Fork();
  ASSERT_TRUE(fork.ok()) << fork.status();
  EXPECT_EQ(Allowed(**fork), Allowed(**matcher));
  const std::vector<TokenId> before = Allowed(**matcher);
  for (int i = 0; i < 3; ++i) ASSERT_TRUE(accept_any(**fork));  // Now only an x may come.
  EXPECT_NE(Allowed(**fork), before);
  EXPECT_EQ(Allowed(**matcher), before);
  matcher->reset();  // A fork does not need what it came of.
  EXPECT_THAT(Allowed(**fork), ::testing::Not(::testing::IsEmpty()));
}

INSTANTIATE_TEST_SUITE_P(Tokenizers, GrammarTest, ::testing::Values("byte_level", "byte_fallback"));

}  // namespace
}  // namespace hocket
