#include "service/cli/single_sequence.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace hocket {
namespace {

using ::testing::ElementsAre;
using ::testing::IsEmpty;

// Keeps the plans, and draws the number of the step.
class RecordingExecutor final : public Executor {
 public:
  absl::Status Execute(const StepPlan& plan, StepResult& result) override {
    plans.push_back(plan);
    result = StepResult{};
    Outcome outcome;
    outcome.sequence = plan.rows[0].sequence;
    if (plan.rows[0].samples) outcome.tokens = {static_cast<TokenId>(plan.step)};
    result.outcomes.push_back(std::move(outcome));
    return absl::OkStatus();
  }

  std::vector<StepPlan> plans;
};

TEST(SingleSequence, CutsThePromptIntoChunksAndSamplesTheLast) {
  RecordingExecutor executor;
  SingleSequence sequence(&executor, /*block_tokens=*/4, /*max_step_tokens=*/3);
  EXPECT_EQ(*sequence.Begin({1, 2, 3, 4, 5}, {}), 2);
  ASSERT_EQ(executor.plans.size(), 2u);
  EXPECT_THAT(executor.plans[0].tokens, ElementsAre(1, 2, 3));
  EXPECT_FALSE(executor.plans[0].rows[0].samples);
  EXPECT_THAT(executor.plans[0].blocks, ElementsAre(0));
  EXPECT_EQ(executor.plans[0].starts.size(), 1u);
  EXPECT_THAT(executor.plans[1].tokens, ElementsAre(4, 5));
  EXPECT_EQ(executor.plans[1].rows[0].first_position, 3);
  EXPECT_TRUE(executor.plans[1].rows[0].samples);
  EXPECT_THAT(executor.plans[1].blocks, ElementsAre(0, 1));
  EXPECT_THAT(executor.plans[1].starts, IsEmpty());
}

TEST(SingleSequence, ContinuesWithOneTokenAtATime) {
  RecordingExecutor executor;
  SingleSequence sequence(&executor, 4, 8);
  ASSERT_TRUE(sequence.Begin({1, 2, 3, 4}, {}).ok());
  ASSERT_TRUE(sequence.Continue(9).ok());
  EXPECT_THAT(executor.plans[1].tokens, ElementsAre(9));
  EXPECT_EQ(executor.plans[1].rows[0].first_position, 4);
  EXPECT_THAT(executor.plans[1].blocks, ElementsAre(0, 1));
}

TEST(SingleSequence, BeginningAnewEndsTheOneBefore) {
  RecordingExecutor executor;
  SingleSequence sequence(&executor, 4, 8);
  ASSERT_TRUE(sequence.Begin({1}, {}).ok());
  ASSERT_TRUE(sequence.Begin({1, 2}, {}).ok());
  EXPECT_THAT(executor.plans[0].ends, IsEmpty());
  EXPECT_THAT(executor.plans[1].ends, ElementsAre(executor.plans[0].rows[0].sequence));
  EXPECT_NE(executor.plans[1].rows[0].sequence, executor.plans[0].rows[0].sequence);
  EXPECT_EQ(executor.plans[1].rows[0].first_position, 0);
}

}  // namespace
}  // namespace hocket
