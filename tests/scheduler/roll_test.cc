// Contexts that roll: what is full forgets its oldest half and goes on.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "stepped_scheduler.h"

namespace hocket {
namespace {

SchedulerSettings SmallContext() {
  SchedulerSettings settings = SmallSettings();
  settings.max_context_tokens = 16;
  return settings;
}

TEST(Roll, ForgetsTheOldestHalfAfterTheKeptTokensAndRecomputesTheRest) {
  SteppedScheduler stepped(SmallContext());
  const RecordedRequest request(
      {.prompt = PromptOf(10), .max_new_tokens = 40, .roll_kept_tokens = 3});
  ASSERT_TRUE(stepped.Add(request).ok());
  for (int i = 0; i < 6; ++i) stepped.Step();
  EXPECT_EQ(request.sink->Get().tokens.size(), 6u);
  // 16 tokens are the whole context: of the 13 after the kept ones, the oldest six are gone.
  const StepPlan plan = stepped.Step();
  ASSERT_EQ(plan.rows.size(), 1u);
  EXPECT_EQ(plan.rows[0].first_position, 0);
  EXPECT_EQ(plan.rows[0].token_count, 10);
  EXPECT_EQ(plan.rows[0].forgotten_tokens, 6);
  EXPECT_TRUE(plan.rows[0].samples);
  std::vector<TokenId> expected = {1, 2, 3, 10};
  const std::vector<TokenId> told = request.sink->Get().tokens;
  expected.insert(expected.end(), told.begin(), told.begin() + 6);
  EXPECT_EQ(plan.tokens, expected);
  for (int i = 0; i < 6; ++i) stepped.Step();
  EXPECT_EQ(stepped.Step().rows[0].forgotten_tokens, 12);
  stepped.RunDry();
  ExpectOfflineAnswer(request, 16);
  EXPECT_EQ(request.sink->Get().tokens.size(), 40u);
  EXPECT_EQ(request.sink->Get().reason(), FinishReason::kLength);
}

TEST(Roll, CountsNoPromptTokenAsCachedAndRepeatsNoScore) {
  SchedulerSettings settings = SmallContext();
  settings.prefix_cache = true;
  SteppedScheduler stepped(settings);
  const RecordedRequest request(
      {.prompt = PromptOf(10), .max_new_tokens = 40, .prompt_scores = true, .roll_kept_tokens = 8});
  ASSERT_TRUE(stepped.Add(request).ok());
  stepped.RunDry();
  ExpectOfflineAnswer(request, 16);
  EXPECT_EQ(request.sink->Get().finished.usage.cached_tokens, 0);
  EXPECT_EQ(request.sink->Get().prompt_scores.size(), 9u);
  EXPECT_GT(stepped.scheduler.Stats().prefix_cache.saved_tokens, 0) << "the kept tokens' blocks";
}

TEST(Roll, HappensAgainWhereARequestResumes) {
  for (const size_t stopped : {3u, 6u, 7u, 20u, 33u}) {
    RequestShape shape{.prompt = PromptOf(10), .max_new_tokens = 40, .roll_kept_tokens = 3};
    const RecordedRequest first(shape);
    SteppedScheduler stopping(SmallContext());
    ASSERT_TRUE(stopping.Add(first).ok());
    while (first.sink->Get().tokens.size() < stopped) stopping.Step();
    stopping.scheduler.EndAll(FinishReason::kShutdown, stopping.now);
    shape.resumed = first.sink->Get().finished.generated;
    EXPECT_EQ(shape.resumed, first.sink->Get().tokens) << "forgotten ones included";
    stopping.RunDry();
    const RecordedRequest second(shape);
    SteppedScheduler stepped(SmallContext());
    ASSERT_TRUE(stepped.Add(second).ok());
    stepped.RunDry();
    ExpectOfflineAnswer(second, 16);
  }
}

TEST(Roll, OfOneChoiceLeavesTheOthersAndSurvivesAPreemption) {
  for (const bool prefix_cache : {false, true}) {
    SchedulerSettings settings = SmallContext();
    settings.total_blocks = 12;
    settings.prefix_cache = prefix_cache;
    SteppedScheduler stepped(settings);
    std::vector<RecordedRequest> requests;
    for (int i = 0; i < 3; ++i) {
      requests.emplace_back(RequestShape{.id = std::to_string(i),
                                         .prompt = PromptOf(6 + i),
                                         .max_new_tokens = 40,
                                         .seed = 3,
                                         .may_stop = true,
                                         .choices = 1 + i,
                                         .roll_kept_tokens = 2 * i});
      ASSERT_TRUE(stepped.Add(requests.back()).ok());
    }
    stepped.RunDry();
    EXPECT_GT(stepped.scheduler.Stats().preemptions, 0);
    for (const RecordedRequest& request : requests) ExpectOfflineAnswer(request, 16);
  }
}

}  // namespace
}  // namespace hocket
