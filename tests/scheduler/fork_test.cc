// Several choices of one prompt: computed once, held once, copied where they part.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "stepped_scheduler.h"

namespace hocket {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::SizeIs;

std::vector<SequenceId> RowsOf(const StepPlan& plan) {
  std::vector<SequenceId> sequences;
  for (const PlanRow& row : plan.rows) sequences.push_back(row.sequence);
  return sequences;
}

// Wants every slot, and all others give way.
RecordedRequest UrgentGroup() {
  return RecordedRequest({.id = "urgent",
                          .prompt = {9},
                          .max_new_tokens = 2,
                          .priority = PriorityClass::kInteractive,
                          .choices = 8});
}

TEST(Fork, ComputesAllButTheLastPromptTokenOnceAndCopiesTheBlockWhereChoicesPart) {
  SteppedScheduler stepped;
  const RecordedRequest request({.prompt = PromptOf(7), .max_new_tokens = 4, .choices = 3});
  ASSERT_TRUE(stepped.Add(request).ok());
  EXPECT_EQ(PlanText(stepped.Step()),
            "step 1 starts 1 starts 2/1 of 1 starts 3/2 of 1 row 1@0[1,2,3,4,5,6]{0,1}");
  // Positions 4 and 5 are shared; two copy their block and the last writes in place.
  EXPECT_EQ(PlanText(stepped.Step()),
            "step 2 copies 1>2 copies 1>3 row 1@6*[7]{0,2} row 2@6*[7]{0,3} row 3@6*[7]{0,1}");
  EXPECT_EQ(stepped.scheduler.Stats().used_blocks, 4);
  EXPECT_EQ(stepped.scheduler.Stats().running_sequences, 3);
  EXPECT_EQ(stepped.scheduler.Stats().running_requests, 1);
  stepped.RunDry();
  EXPECT_EQ(stepped.executor.computed_tokens(), 6 + 3 * 4);
  EXPECT_EQ(stepped.executor.copied_blocks(), 2);
  ExpectOfflineAnswer(request);
  EXPECT_EQ(request.sink->Get().finished.usage.prompt_tokens, 7);
  EXPECT_EQ(request.sink->Get().finished.usage.generated_tokens, 12);
}

TEST(Fork, CopiesNothingWhereTheSharedPartFillsItsBlocks) {
  SteppedScheduler stepped;
  const RecordedRequest request({.prompt = PromptOf(9), .max_new_tokens = 3, .choices = 4});
  ASSERT_TRUE(stepped.Add(request).ok());
  EXPECT_EQ(stepped.Step().tokens.size(), 8u);
  const StepPlan plan = stepped.Step();
  EXPECT_THAT(plan.copies, IsEmpty());
  EXPECT_THAT(RowsOf(plan), ElementsAre(1, 2, 3, 4));
  EXPECT_EQ(stepped.scheduler.Stats().used_blocks, 2 + 4);
  stepped.RunDry();
  ExpectOfflineAnswer(request);
}

TEST(Fork, StartsAllChoicesOfAPromptOfOneTokenAtOnce) {
  SteppedScheduler stepped;
  const RecordedRequest request({.prompt = {5}, .max_new_tokens = 3, .choices = 3});
  ASSERT_TRUE(stepped.Add(request).ok());
  EXPECT_THAT(RowsOf(stepped.Step()), ElementsAre(1, 2, 3));
  stepped.RunDry();
  ExpectOfflineAnswer(request);
}

TEST(Fork, HoldsTheBlocksOfAThousandTokenPromptOnce) {
  SchedulerSettings settings = SmallSettings();
  settings.block_tokens = 16;
  settings.total_blocks = 100;
  settings.max_context_tokens = 2048;
  settings.max_step_tokens = 512;
  SteppedScheduler stepped(settings);
  const RecordedRequest request({.prompt = PromptOf(1000), .max_new_tokens = 20, .choices = 8});
  ASSERT_TRUE(stepped.Add(request).ok());
  while (stepped.scheduler.LastPlanShape().load.decode_rows == 0) stepped.Step();
  // 62 full blocks are shared; the 63rd, of positions 992 .. 1007, is each one's own.
  EXPECT_EQ(stepped.scheduler.Stats().used_blocks, 62 + 8);
  while (stepped.scheduler.HasWork() && request.sink->Get().tokens.size() < 8 * 18) stepped.Step();
  EXPECT_EQ(stepped.scheduler.Stats().used_blocks, 62 + 8 * 2);
  stepped.RunDry();
  EXPECT_EQ(stepped.executor.computed_tokens(), 999 + 8 * 20);
  ExpectOfflineAnswer(request, settings.max_context_tokens);
}

TEST(Fork, GivesTheBlocksOfAChoiceBackWhenItEndsAndTellsItsFinish) {
  SteppedScheduler stepped;
  int early = 0;
  for (uint64_t seed = 0; seed < 20; ++seed) {
    const RecordedRequest request({.prompt = PromptOf(6),
                                   .max_new_tokens = 30,
                                   .seed = seed,
                                   .may_stop = true,
                                   .choices = 3});
    ASSERT_TRUE(stepped.Add(request).ok());
    while (stepped.scheduler.HasWork()) {
      stepped.Step();
      const Heard heard = request.sink->Get();
      const auto ended = std::ranges::count_if(
          heard.choices, [](const HeardChoice& choice) { return choice.finish.has_value(); });
      if (heard.ended() || ended == 0) continue;
      ++early;
      EXPECT_EQ(stepped.scheduler.Stats().running_sequences, 3 - ended);
      EXPECT_THAT(stepped.Step().ends, SizeIs(testing::Le(3u)));
    }
    ExpectOfflineAnswer(request);
  }
  EXPECT_GT(early, 20);
}

TEST(Fork, TellsAnEndWithoutContentAndTheFirstChoicesReasonAtLast) {
  SteppedScheduler stepped;
  const RecordedRequest request({.max_new_tokens = 5, .choices = 2});
  ASSERT_TRUE(stepped.Add(request).ok());
  stepped.Step();
  const StepPlan plan = stepped.scheduler.Plan(stepped.now);
  ASSERT_THAT(RowsOf(plan), ElementsAre(1, 2));
  StepResult result;
  result.outcomes.resize(2);
  result.outcomes[0].sequence = 1;
  result.outcomes[0].finish.emplace().reason = FinishReason::kSentence;
  result.outcomes[1].sequence = 2;
  result.outcomes[1].tokens = {5};
  stepped.scheduler.Commit(absl::OkStatus(), result, stepped.now);
  ASSERT_EQ(request.sink->Get().choices.size(), 2u);
  EXPECT_EQ(request.sink->Get().choices[0].finish->reason, FinishReason::kSentence);
  EXPECT_FALSE(request.sink->Get().ended());
  const StepPlan next = stepped.scheduler.Plan(stepped.now);
  EXPECT_THAT(next.ends, ElementsAre(1));
  EXPECT_THAT(RowsOf(next), ElementsAre(2));
  result.outcomes.assign(1, Outcome());
  result.outcomes[0].sequence = 2;
  result.outcomes[0].finish.emplace().reason = FinishReason::kTimeLimit;
  stepped.scheduler.Commit(absl::OkStatus(), result, stepped.now);
  const Heard heard = request.sink->Get();
  EXPECT_EQ(heard.choices[1].finish->reason, FinishReason::kTimeLimit);
  EXPECT_EQ(heard.reason(), FinishReason::kSentence);
  EXPECT_EQ(heard.finished.usage.generated_tokens, 1);
}

TEST(Fork, ScoresThePromptOnce) {
  SteppedScheduler stepped;
  const RecordedRequest request(
      {.prompt = PromptOf(7, 100), .max_new_tokens = 2, .prompt_scores = true, .choices = 3});
  ASSERT_TRUE(stepped.Add(request).ok());
  stepped.RunDry();
  ExpectOfflineAnswer(request);
  const Heard heard = request.sink->Get();
  ASSERT_EQ(heard.prompt_scores.size(), 6u);
  for (int i = 0; i < 6; ++i) EXPECT_EQ(heard.prompt_scores[i].token, 101 + i);
}

TEST(Fork, OfARequestForNoNewTokensEndsEachChoice) {
  SteppedScheduler stepped;
  const RecordedRequest request({.prompt = PromptOf(7), .max_new_tokens = 0, .choices = 2});
  ASSERT_TRUE(stepped.Add(request).ok());
  stepped.RunDry();
  ExpectOfflineAnswer(request);
}

TEST(Fork, CountsItsSequencesAgainstTheRunningLimit) {
  SteppedScheduler stepped;
  const RecordedRequest small({.id = "a", .max_new_tokens = 10, .choices = 3});
  const RecordedRequest large({.id = "b", .max_new_tokens = 10, .choices = 6});
  const RecordedRequest single({.id = "c", .max_new_tokens = 10});
  for (const auto* request : {&small, &large, &single}) ASSERT_TRUE(stepped.Add(*request).ok());
  stepped.Step();
  EXPECT_EQ(stepped.scheduler.Stats().running_sequences, 3) << "3 + 6 are more than 8";
  EXPECT_EQ(stepped.scheduler.Stats().waiting_requests, 2) << "nobody overtakes the first in line";
  stepped.RunDry();
  for (const auto* request : {&small, &large, &single}) ExpectOfflineAnswer(*request);
}

TEST(Fork, IsMadeAgainAfterAPreemptionAndEachRecomputesItsOwnTail) {
  for (const bool prefix_cache : {false, true}) {
    SchedulerSettings settings = SmallSettings();
    settings.total_blocks = 14;
    settings.prefix_cache = prefix_cache;
    SteppedScheduler stepped(settings);
    const RecordedRequest old({.id = "old", .prompt = PromptOf(4, 50), .max_new_tokens = 44});
    const RecordedRequest group(
        {.id = "group", .prompt = PromptOf(11), .max_new_tokens = 14, .choices = 3});
    ASSERT_TRUE(stepped.Add(old).ok());
    ASSERT_TRUE(stepped.Add(group).ok());
    bool resumed = false;
    int32_t preempted = 0;
    while (stepped.scheduler.HasWork()) {
      const StepPlan plan = stepped.Step();
      preempted = std::max(preempted, stepped.scheduler.Stats().preempted_requests);
      if (preempted == 0 || resumed || prefix_cache) continue;
      for (const PlanRow& row : plan.rows) {
        if (row.sequence != 2) continue;
        // The leader goes to the fork and no further.
        EXPECT_EQ(row.first_position, 0);
        EXPECT_EQ(row.token_count, 10);
        EXPECT_EQ(RowsOf(plan).size(), plan.rows.front().sequence == 1 ? 2u : 1u);
        resumed = true;
      }
    }
    EXPECT_EQ(preempted, 1);
    EXPECT_TRUE(resumed || prefix_cache);
    ExpectOfflineAnswer(old);
    ExpectOfflineAnswer(group);
  }
}

TEST(Fork, FindsTheTailsOfPreemptedChoicesInTheCache) {
  SchedulerSettings settings = SmallSettings();
  settings.total_blocks = 40;
  settings.prefix_cache = true;
  settings.max_step_tokens = 64;
  SteppedScheduler stepped(settings);
  const RecordedRequest group({.id = "group",
                               .prompt = PromptOf(11),
                               .max_new_tokens = 20,
                               .priority = PriorityClass::kBatch,
                               .choices = 3});
  ASSERT_TRUE(stepped.Add(group).ok());
  while (group.sink->Get().tokens.size() < 3 * 9) stepped.Step();
  const RecordedRequest urgent = UrgentGroup();
  ASSERT_TRUE(stepped.Add(urgent).ok());
  stepped.Step();
  EXPECT_EQ(stepped.scheduler.Stats().preempted_requests, 1);
  while (stepped.scheduler.Stats().preempted_requests > 0) stepped.Step();
  stepped.RunDry();
  ExpectOfflineAnswer(group);
  ExpectOfflineAnswer(urgent);
  // The leader finds eight of the ten positions that are shared; then each choice, of which 19 were
  // computed, those up to its last full block's end.
  EXPECT_EQ(stepped.scheduler.Stats().prefix_cache.saved_tokens, 8 + 3 * 6);
}

TEST(Fork, BeginsWithACachedPrompt) {
  SchedulerSettings settings = SmallSettings();
  settings.prefix_cache = true;
  SteppedScheduler stepped(settings);
  const RecordedRequest first({.prompt = PromptOf(14)});
  ASSERT_TRUE(stepped.Add(first).ok());
  stepped.RunDry();
  const RecordedRequest group({.prompt = PromptOf(13), .max_new_tokens = 6, .choices = 3});
  ASSERT_TRUE(stepped.Add(group).ok());
  // All twelve that are shared are cached, so there is no leader's row.
  EXPECT_THAT(RowsOf(stepped.Step()), SizeIs(3));
  EXPECT_EQ(group.sink->Get().started->cached_tokens, 12);
  stepped.RunDry();
  ExpectOfflineAnswer(group);
}

TEST(Fork, FailsAsAWholeWithOneRow) {
  SteppedScheduler stepped;
  const RecordedRequest bad({.id = "bad", .max_new_tokens = 10, .choices = 3});
  const RecordedRequest good({.id = "good", .max_new_tokens = 10, .choices = 2});
  ASSERT_TRUE(stepped.Add(bad).ok());
  ASSERT_TRUE(stepped.Add(good).ok());
  stepped.executor.row_fault = [](const PlanRow& row) {
    return row.sequence == 2 && row.first_position > 4 ? absl::DataLossError("a bad row")
                                                       : absl::OkStatus();
  };
  stepped.RunDry();
  EXPECT_EQ(bad.sink->Get().finished.status, absl::DataLossError("a bad row"));
  EXPECT_EQ(bad.sink->Get().finished_events, 1);
  ExpectOfflineAnswer(good);
}

TEST(Fork, IsComputedAgainWhereACopyWasPlannedInAStepThatFailed) {
  for (const bool delayed : {false, true}) {  // The executor fails before its copies, or after.
    SchedulerSettings settings = SmallSettings();
    settings.max_step_tokens = 12;
    SteppedScheduler stepped(settings);
    if (delayed) stepped.Step();
    const RecordedRequest group(
        {.id = "group", .prompt = PromptOf(11), .max_new_tokens = 20, .choices = 3});
    ASSERT_TRUE(stepped.Add(group).ok());
    while (group.sink->Get().tokens.size() < 3 * 5) stepped.Step();
    const RecordedRequest urgent = UrgentGroup();
    ASSERT_TRUE(stepped.Add(urgent).ok());
    stepped.Step();
    ASSERT_EQ(stepped.scheduler.Stats().preempted_requests, 1);
    bool at_the_fork = false;
    while (!at_the_fork) {
      const StepPlan plan = stepped.Step();
      at_the_fork = !plan.rows.empty() && plan.rows[0].sequence == 1;
    }
    // The choices fork, but another's prompt takes all of the step.
    const RecordedRequest large({.id = "large",
                                 .prompt = PromptOf(40, 200),
                                 .max_new_tokens = 1,
                                 .priority = PriorityClass::kInteractive});
    ASSERT_TRUE(stepped.Add(large).ok());
    stepped.executor.step_fault = [] { return absl::InternalError("a bad step"); };
    const StepPlan plan = stepped.Step();
    stepped.executor.step_fault = nullptr;
    EXPECT_EQ(plan.copies.size(), 2u);
    EXPECT_THAT(RowsOf(plan), ElementsAre(12));
    EXPECT_EQ(large.sink->Get().reason(), FinishReason::kError);
    EXPECT_EQ(stepped.scheduler.Stats().preempted_requests, 1);
    stepped.RunDry();
    ExpectOfflineAnswer(group);
  }
}

TEST(Fork, PlansNoCopyForWhomeverItPreemptsAmidThem) {
  SchedulerSettings settings = SmallSettings();
  settings.max_step_tokens = 4;
  settings.total_blocks = 11;
  SteppedScheduler stepped(settings);
  const RecordedRequest old({.id = "old", .prompt = PromptOf(4, 50), .max_new_tokens = 30});
  const RecordedRequest group(
      {.id = "group", .prompt = PromptOf(23), .max_new_tokens = 3, .choices = 3});
  ASSERT_TRUE(stepped.Add(old).ok());
  ASSERT_TRUE(stepped.Add(group).ok());
  for (int i = 0; i < 9; ++i) stepped.Step();
  EXPECT_EQ(stepped.scheduler.Stats().used_blocks, 9);
  // The old one takes its next block, one is left, and two are to be copied.
  const StepPlan plan = stepped.Step();
  EXPECT_EQ(stepped.scheduler.Stats().preemptions, 1);
  EXPECT_THAT(plan.copies, IsEmpty());
  EXPECT_THAT(RowsOf(plan), ElementsAre(1));
  stepped.RunDry();
  ExpectOfflineAnswer(old);
  ExpectOfflineAnswer(group);
}

TEST(Fork, IsCancelledWithAllItsChoices) {
  SteppedScheduler stepped;
  const RecordedRequest request({.id = "a", .max_new_tokens = 30, .choices = 4});
  ASSERT_TRUE(stepped.Add(request).ok());
  for (int i = 0; i < 5; ++i) stepped.Step();
  EXPECT_TRUE(stepped.scheduler.Cancel("a", FinishReason::kCancelled, stepped.now));
  EXPECT_EQ(stepped.scheduler.Stats().used_blocks, 0);
  EXPECT_EQ(stepped.scheduler.Stats().running_sequences, 0);
  EXPECT_THAT(stepped.Step().ends, ElementsAre(1, 2, 3, 4));
  stepped.RunDry();
  EXPECT_THAT(std::string(request.sink->Get().finished.status.message()), HasSubstr("cancelled"));
}

}  // namespace
}  // namespace hocket
