#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <nlohmann/json.hpp>

#include "service/cli/score_report.h"
#include "service/cli/score_windows.h"

namespace hocket {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;

const std::vector<TokenId> kTokens = {5, 6, 7};
const std::vector<TokenScore> kScores = {
    {6, -3.2f, 4, {{7, -0.1f}, {6, -3.2f}}},
    {7, -0.33333334f, 1, {{7, -0.33333334f}, {1, -2.0f}}},
};

TEST(ScoreJson, HasOneEntryPerTokenAndNoScoreForTheFirst) {
  EXPECT_EQ(ScoreJson(kTokens, kScores),
            "{\"tokens\":[5,6,7],\"logprobs\":[null,-3.20000005,-0.333333343],"
            "\"top\":[[],[{\"id\":7,\"logprob\":-0.100000001},{\"id\":6,\"logprob\":-3.20000005}],"
            "[{\"id\":7,\"logprob\":-0.333333343},{\"id\":1,\"logprob\":-2.0}]]}\n");
}

TEST(ScoreJson, NumbersReadBackToTheSameFloat) {
  for (const float value : {-1e-7f, -0.1f, -12.3456789f, -3.4e38f, -16777217.0f}) {
    const std::vector<TokenScore> scores = {{1, value, 1, {}}};
    const auto json = nlohmann::json::parse(ScoreJson(std::vector<TokenId>{0, 1}, scores));
    EXPECT_EQ(static_cast<float>(json["logprobs"][1].get<double>()), value);
  }
}

TEST(ScoreJson, OneTokenHasNothingToScore) {
  EXPECT_EQ(ScoreJson(std::vector<TokenId>{5}, {}),
            "{\"tokens\":[5],\"logprobs\":[null],\"top\":[[]]}\n");
}

TEST(ScoreTable, SpellsTokensAndGivesTheMean) {
  const std::string table =
      ScoreTable(kTokens, kScores, [](TokenId token) { return "t" + std::to_string(token); });
  EXPECT_THAT(table, HasSubstr("t7 90.5%"));
  EXPECT_THAT(table, HasSubstr("-3.200000"));
  EXPECT_THAT(table, HasSubstr("2 tokens scored"));
}

TEST(LikelihoodSum, PerplexityIsTheExponentOfTheMean) {
  LikelihoodSum sum;
  sum.Add(-std::log(2.0f));
  sum.Add(-std::log(8.0f));
  EXPECT_NEAR(sum.Perplexity(), 4.0, 1e-6);
}

TEST(ScoreWindows, AShortTextIsOneWindow) {
  EXPECT_THAT(ScoreWindows(5, 8, 1), ElementsAre(ScoreWindow{0, 5, 1}));
  EXPECT_TRUE(ScoreWindows(1, 8, 1).empty());
}

TEST(ScoreWindows, EveryTokenButTheFirstIsCountedOnceWithItsContext) {
  for (const int64_t overlap : {1, 3, 7}) {
    std::vector<int> counted(50);
    for (const ScoreWindow& window : ScoreWindows(50, 8, overlap)) {
      EXPECT_LE(window.end - window.begin, 8);
      if (window.begin > 0) {
        EXPECT_EQ(window.count_from - window.begin, overlap);
      }
      for (int64_t i = window.count_from; i < window.end; ++i) ++counted[i];
    }
    EXPECT_EQ(counted[0], 0);
    EXPECT_EQ(std::vector<int>(counted.begin() + 1, counted.end()), std::vector<int>(49, 1));
  }
}

}  // namespace
}  // namespace hocket
