#include "scheduler/step_text.h"

#include <gtest/gtest.h>

namespace hocket {
namespace {

TEST(PlanText, WritesAllOfAPlanOnOneLine) {
  StepPlan plan;
  plan.step = 3;
  plan.ends = {1};
  plan.starts.push_back({.sequence = 4,
                         .group = 2,
                         .choice_index = 2,
                         .spec = nullptr,
                         .prompt = nullptr,
                         .resumed = nullptr});
  plan.copies = {{.source = 2, .target = 7}};
  plan.tokens = {5, 6, 7, 11, 12};
  plan.blocks = {0, 3, 1};
  plan.rows.push_back({.sequence = 2,
                       .first_position = 9,
                       .token_begin = 0,
                       .token_count = 3,
                       .block_begin = 0,
                       .block_count = 2,
                       .samples = true,
                       .forgotten_tokens = 30,
                       .draft_tokens = 2});
  plan.rows.push_back({.sequence = 4,
                       .first_position = 0,
                       .token_begin = 3,
                       .token_count = 2,
                       .block_begin = 2,
                       .block_count = 1,
                       .samples = false});
  EXPECT_EQ(PlanText(plan),
            "step 3 ends 1 starts 4/2 of 2 copies 2>7 row 2@9+30*[5|6,7]{0,3} row 4@0[11,12]{1}");
}

TEST(FinishReasonName, GivesEachReasonItsOwnName) {
  EXPECT_EQ(FinishReasonName(FinishReason::kStopToken), "stop_token");
  EXPECT_EQ(FinishReasonName(FinishReason::kStopString), "stop_string");
  EXPECT_EQ(FinishReasonName(FinishReason::kLength), "length");
  EXPECT_EQ(FinishReasonName(FinishReason::kContext), "context");
  EXPECT_EQ(FinishReasonName(FinishReason::kCancelled), "cancelled");
  EXPECT_EQ(FinishReasonName(FinishReason::kDeadline), "deadline");
  EXPECT_EQ(FinishReasonName(FinishReason::kShutdown), "shutdown");
  EXPECT_EQ(FinishReasonName(FinishReason::kError), "error");
}

}  // namespace
}  // namespace hocket
