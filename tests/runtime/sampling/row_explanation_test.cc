#include "runtime/sampling/row_explanation.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <string>

namespace hocket {
namespace {

using testing::ElementsAre;

std::vector<float> Logits() {
  std::vector<float> logits;
  for (const double p : {0.1, 0.4, 0.2, 0.3}) logits.push_back(static_cast<float>(std::log(p)));
  return logits;
}

std::vector<std::string> Names(const Explanation& explanation) {
  std::vector<std::string> names;
  for (const ExplainedStage& stage : explanation.stages) names.push_back(stage.name);
  return names;
}

TEST(ExplainRow, FollowsTheLikeliestTokensThroughTheChain) {
  std::vector<float> logits = Logits();
  const std::vector<float> before = logits;
  const std::vector<TokenId> banned = {2};
  const LogitEdits edits{.banned = banned};
  RowScratch scratch(logits.size());
  const RowRequest request{.temperature = 0.5f, .top_k = 2, .min_p = 0.9f, .edits = &edits};
  const Explanation explanation = ExplainRow(logits, request, 0, 2, scratch);
  EXPECT_EQ(logits, before);
  EXPECT_EQ(explanation.token, 0);
  EXPECT_THAT(explanation.candidates, ElementsAre(1, 3, 0));
  EXPECT_THAT(Names(explanation),
              ElementsAre("model", "bans, penalties", "temperature", "top-k", "min-p"));
  const auto expect = [&](size_t stage, int32_t kept, double one, double three, double zero) {
    const ExplainedStage& found = explanation.stages[stage];
    EXPECT_EQ(found.kept, kept) << found.name;
    EXPECT_NEAR(found.probabilities[0], one, 1e-5) << found.name;
    EXPECT_NEAR(found.probabilities[1], three, 1e-5) << found.name;
    EXPECT_NEAR(found.probabilities[2], zero, 1e-5) << found.name;
  };
  expect(0, 4, 0.4, 0.3, 0.1);
  expect(1, 3, 0.5, 0.375, 0.125);
  expect(2, 3, 16 / 26.0, 9 / 26.0, 1 / 26.0);
  expect(3, 2, 16 / 25.0, 9 / 25.0, 0);
  expect(4, 1, 1, 0, 0);
}

TEST(ExplainRow, AGreedyRowIsCertain) {
  std::vector<float> logits = Logits();
  RowScratch scratch(logits.size());
  const Explanation explanation = ExplainRow(logits, {.temperature = 0}, 1, 2, scratch);
  EXPECT_THAT(Names(explanation), ElementsAre("model", "greedy"));
  EXPECT_THAT(explanation.stages[1].probabilities, ElementsAre(1, 0));
}

}  // namespace
}  // namespace hocket
