#include "runtime/logit_rules.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <string>

namespace hocket {
namespace {

using testing::ElementsAre;
using testing::IsEmpty;
using testing::UnorderedElementsAre;

class LogitRulesTest : public testing::Test {
 protected:
  void SetUp() override {
    auto loaded =
        Tokenizer::Load(std::string(HOCKET_SOURCE_DIR) + "/tests/runtime/text/fixtures/byte_level");
    ASSERT_TRUE(loaded.ok()) << loaded.status();
    tokenizer_ = *std::move(loaded);
  }
  std::unique_ptr<LogitRules> Make(const SamplingSettings& settings,
                                   const std::vector<TokenId>& prompt = {}) {
    return LogitRules::Make(settings, prompt, tokenizer_.get(), tokenizer_->vocabulary_size());
  }
  TokenId Letter(const std::string& letter) { return tokenizer_->Encode(letter, false)->at(0); }

  std::unique_ptr<Tokenizer> tokenizer_;
};

bool Allows(std::span<const uint32_t> bits, TokenId token) {
  return (bits[token / 32] >> (token % 32) & 1) != 0;
}

TEST_F(LogitRulesTest, SettingsThatChangeNoLogitsCostNothing) {
  SamplingSettings settings;
  settings.top_p = 0.9f;
  settings.min_p = 0.1f;
  settings.xtc.emplace();
  EXPECT_EQ(Make(settings), nullptr);
  settings.dry = DrySettings{.multiplier = 0};
  EXPECT_EQ(Make(settings), nullptr);
}

TEST_F(LogitRulesTest, PenaltiesSeeThePromptAndTheAnswer) {
  SamplingSettings settings;
  settings.repetition_penalty = 1.2f;
  settings.frequency_penalty = 0.5f;
  const std::vector<TokenId> prompt = {5, 6};
  const auto rules = Make(settings, prompt);
  rules->Append(6);
  const LogitEdits edits = rules->Edits();
  EXPECT_THAT(edits.counts, UnorderedElementsAre(TokenCount{5, 1, 0}, TokenCount{6, 2, 1}));
  EXPECT_EQ(edits.repetition_penalty, 1.2f);
  EXPECT_EQ(edits.frequency_penalty, 0.5f);
}

TEST_F(LogitRulesTest, AllowedTokensAreAMaskWithoutTheBannedOnes) {
  SamplingSettings settings;
  settings.allowed_tokens = {3, 40, 41};
  settings.banned_tokens = {40};
  const auto rules = Make(settings);
  const LogitEdits edits = rules->Edits();
  EXPECT_THAT(edits.banned, IsEmpty());
  for (TokenId token = 0; token < tokenizer_->vocabulary_size(); ++token) {
    EXPECT_EQ(Allows(edits.allowed, token), token == 3 || token == 41) << token;
  }
}

TEST_F(LogitRulesTest, FewBannedTokensAreNamedAndManyAreAMask) {
  SamplingSettings settings;
  settings.banned_tokens = {7, 9};
  auto rules = Make(settings);
  EXPECT_THAT(rules->Edits().banned, ElementsAre(7, 9));
  EXPECT_THAT(rules->Edits().allowed, IsEmpty());

  settings.banned_tokens.assign(300, 7);
  rules = Make(settings);
  EXPECT_THAT(rules->Edits().banned, IsEmpty());
  EXPECT_FALSE(Allows(rules->Edits().allowed, 7));
  EXPECT_TRUE(Allows(rules->Edits().allowed, 8));
}

TEST_F(LogitRulesTest, DrySeesTheTextOfTokens) {
  SamplingSettings settings;
  settings.dry = DrySettings{.multiplier = 1, .base = 2, .allowed_length = 1};
  const TokenId x = Letter("x");
  const TokenId y = Letter("y");
  const TokenId newline = Letter("\n");
  const std::vector<TokenId> prompt = {x, y, newline};
  const auto rules = Make(settings, prompt);
  EXPECT_THAT(rules->Edits().repeats, IsEmpty());
  rules->Append(x);
  EXPECT_THAT(rules->Edits().repeats, ElementsAre(TokenBias{y, 1}));
  rules->Append(newline);
  EXPECT_THAT(rules->Edits().repeats, IsEmpty());
}

TEST_F(LogitRulesTest, BadWordsAndBiasReachTheRow) {
  SamplingSettings settings;
  settings.bad_word_tokens = {{4, 5}};
  settings.logit_bias = {{2, -3.5f}};
  const auto rules = Make(settings, {1});
  EXPECT_THAT(rules->Edits().ended, IsEmpty());
  rules->Append(4);
  EXPECT_THAT(rules->Edits().ended, ElementsAre(5));
  EXPECT_THAT(rules->Edits().bias, ElementsAre(TokenBias{2, -3.5f}));
}

}  // namespace
}  // namespace hocket
