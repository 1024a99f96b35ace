#include "runtime/sampling/dry.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <limits>
#include <map>
#include <random>

namespace hocket {
namespace {

using testing::ElementsAre;
using testing::IsEmpty;

DrySettings Plain(float multiplier, float base, int32_t allowed, int32_t window = 0) {
  return {multiplier, base, allowed, window, {}};
}

std::vector<TokenBias> After(const DrySettings& settings, std::string_view text) {
  DryPenalty dry(settings);
  for (const char c : text) dry.Append(c, std::string_view(&c, 1));
  const std::span<const TokenBias> penalties = dry.Penalties();
  return {penalties.begin(), penalties.end()};
}

TEST(Dry, PenalizesWhatContinuedTheSameTokensBefore) {
  EXPECT_THAT(After(Plain(1, 2, 2), "abcd__abc"), ElementsAre(TokenBias{'d', 2}));
  EXPECT_THAT(After(Plain(1, 2, 2), "abcd__ab"), ElementsAre(TokenBias{'c', 1}));
  EXPECT_THAT(After(Plain(1, 2, 2), "abcd__a"), IsEmpty());
  EXPECT_THAT(After(Plain(1, 2, 2), "abcd__abx"), IsEmpty());
  EXPECT_THAT(After(Plain(0.5f, 3, 1), "abcx_abcd__abc"),
              ElementsAre(TokenBias{'d', 13.5f}, TokenBias{'x', 4.5f}));
}

TEST(Dry, TheLongestRepetitionOfATokenCounts) {
  EXPECT_THAT(After(Plain(1, 2, 1), "xd_abcd_cd__abc"), ElementsAre(TokenBias{'d', 8}));
}

TEST(Dry, OverlappingRepetitionsCount) {
  EXPECT_THAT(After(Plain(1, 2, 2), "aaaa"), ElementsAre(TokenBias{'a', 2}));
}

TEST(Dry, NoRepetitionSpansABreaker) {
  DrySettings settings = Plain(1, 2, 2);
  settings.sequence_breakers = {"\n"};
  EXPECT_THAT(After(settings, "ab\ncde_ab\ncd"), ElementsAre(TokenBias{'e', 1}));
  EXPECT_THAT(After(settings, "ab\nc_ab\n"), IsEmpty());
  // A breaker itself is never penalized.
  EXPECT_THAT(After(settings, "ab\n_ab"), IsEmpty());
}

TEST(Dry, ABreakerMayBeSplitOverTokens) {
  DrySettings settings = Plain(1, 2, 2);
  settings.sequence_breakers = {"END"};
  EXPECT_THAT(After(settings, "xENDabc_xENDab"), ElementsAre(TokenBias{'c', 1}));
  EXPECT_THAT(After(settings, "xENDa_xEND"), IsEmpty());
}

TEST(Dry, LooksNoFurtherBackThanItsWindow) {
  EXPECT_THAT(After(Plain(1, 2, 2, 8), "abc_____ab"), IsEmpty());
  EXPECT_THAT(After(Plain(1, 2, 2, 10), "abc_____ab"), ElementsAre(TokenBias{'c', 1}));
}

TEST(Dry, APenaltyIsFinite) {
  const std::vector<TokenBias> penalties = After(Plain(100, 8, 1), std::string(500, 'a'));
  EXPECT_THAT(penalties, ElementsAre(TokenBias{'a', std::numeric_limits<float>::max()}));
}

// The longest end of the text that precedes each place, by comparing every pair.
std::map<TokenId, float> Reference(const std::vector<TokenId>& tokens, const DrySettings& settings,
                                   TokenId breaker) {
  const size_t window = settings.window_tokens;
  const size_t begin = window > 0 && tokens.size() > window ? tokens.size() - window : 0;
  std::map<TokenId, float> penalties;
  for (size_t next = begin + 1; next < tokens.size(); ++next) {
    size_t length = 0;
    while (length < next - begin &&
           tokens[next - 1 - length] == tokens[tokens.size() - 1 - length] &&
           tokens[next - 1 - length] != breaker) {
      ++length;
    }
    if (length < static_cast<size_t>(settings.allowed_length) || tokens[next] == breaker) continue;
    const auto penalty = static_cast<float>(
        settings.multiplier *
        std::pow(double{settings.base}, static_cast<double>(length) - settings.allowed_length));
    penalties[tokens[next]] = std::max(penalties[tokens[next]], penalty);
  }
  return penalties;
}

TEST(Dry, AgreesWithComparingEveryPairOfPlaces) {
  const uint64_t seed = 4;
  std::mt19937_64 random(seed);
  for (int round = 0; round < 1000; ++round) {
    SCOPED_TRACE(testing::Message() << "seed " << seed << ", round " << round);
    DrySettings settings = Plain(0.8f, 1.5f, 1 + static_cast<int32_t>(random() % 4),
                                 static_cast<int32_t>(random() % 3 == 0 ? random() % 30 : 0));
    settings.sequence_breakers = {"9"};
    DryPenalty dry(settings);
    std::vector<TokenId> tokens;
    for (size_t i = random() % 60; i > 0; --i) {
      const auto token = static_cast<TokenId>(random() % 12 == 0 ? 9 : random() % 3);
      tokens.push_back(token);
      dry.Append(token, std::to_string(token));
    }
    const std::map<TokenId, float> expected = Reference(tokens, settings, 9);
    std::map<TokenId, float> found;
    for (const TokenBias& penalty : dry.Penalties()) found[penalty.token] = penalty.value;
    ASSERT_EQ(found, expected);
  }
}

}  // namespace
}  // namespace hocket
