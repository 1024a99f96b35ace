// Block shortage: who gives way, and that nobody's answer changes.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "stepped_scheduler.h"

namespace hocket {
namespace {

using ::testing::ElementsAre;

SchedulerSettings Famine(int32_t total_blocks) {
  SchedulerSettings settings = SmallSettings();
  settings.total_blocks = total_blocks;
  return settings;
}

TEST(Preemption, TakesTheBlocksOfTheYoungestAndRecomputesItWithTheSameAnswer) {
  SteppedScheduler stepped(Famine(8));
  const RecordedRequest old({.id = "old", .prompt = PromptOf(4), .max_new_tokens = 28});
  const RecordedRequest young({.id = "young", .prompt = PromptOf(5), .max_new_tokens = 24});
  ASSERT_TRUE(stepped.Add(old).ok());
  ASSERT_TRUE(stepped.Add(young).ok());
  bool preempted = false;
  while (stepped.scheduler.HasWork()) {
    stepped.Step();
    if (stepped.scheduler.Stats().preempted_requests == 0) continue;
    preempted = true;
    EXPECT_FALSE(young.sink->Get().ended());
    EXPECT_EQ(stepped.scheduler.Stats().waiting_requests, 1);
  }
  EXPECT_TRUE(preempted);
  EXPECT_EQ(stepped.scheduler.Stats().preemptions, 1);
  ExpectOfflineAnswer(old);
  ExpectOfflineAnswer(young);
}

TEST(Preemption, RecomputesInChunksAndSamplesOnlyTheLastToken) {
  SchedulerSettings settings = Famine(8);
  settings.max_step_tokens = 6;
  SteppedScheduler stepped(settings);
  const RecordedRequest old({.id = "old", .prompt = PromptOf(4), .max_new_tokens = 28});
  const RecordedRequest young({.id = "young", .prompt = PromptOf(5), .max_new_tokens = 20});
  ASSERT_TRUE(stepped.Add(old).ok());
  ASSERT_TRUE(stepped.Add(young).ok());
  int recomputed_chunks = 0;
  size_t heard_before = 0;
  while (stepped.scheduler.HasWork()) {
    const StepPlan plan = stepped.Step();  // The fake executor checks `samples` and the tokens.
    for (const PlanRow& row : plan.rows) {
      if (row.sequence != 2 || row.samples || heard_before == 0) continue;
      ++recomputed_chunks;
      EXPECT_EQ(young.sink->Get().tokens.size(), heard_before) << "text repeated";
    }
    heard_before = young.sink->Get().tokens.size();
  }
  EXPECT_GE(recomputed_chunks, 1);
  ExpectOfflineAnswer(young);
}

TEST(Preemption, PutsTheYoungestBackInFrontOfTheWaitingLine) {
  SteppedScheduler stepped(Famine(6));
  const RecordedRequest a({.id = "a", .prompt = PromptOf(4), .max_new_tokens = 20});
  const RecordedRequest b({.id = "b", .prompt = PromptOf(4), .max_new_tokens = 20});
  const RecordedRequest c({.id = "c", .prompt = PromptOf(4), .max_new_tokens = 2});
  for (const auto* request : {&a, &b}) ASSERT_TRUE(stepped.Add(*request).ok());
  while (stepped.scheduler.Stats().preemptions == 0) stepped.Step();
  ASSERT_TRUE(stepped.Add(c).ok());
  while (!c.sink->Get().started.has_value()) {
    stepped.Step();
    if (c.sink->Get().started.has_value()) {
      EXPECT_EQ(stepped.scheduler.Stats().preempted_requests, 0) << "the newcomer overtook b";
    }
  }
  stepped.RunDry();
  for (const auto* request : {&a, &b, &c}) ExpectOfflineAnswer(*request);
}

TEST(Preemption, NeverTouchesTheOldest) {
  SteppedScheduler stepped(Famine(6));
  std::vector<RecordedRequest> requests;
  for (int i = 0; i < 6; ++i) {
    requests.emplace_back(
        RequestShape{.id = std::to_string(i), .prompt = PromptOf(4), .max_new_tokens = 20});
    ASSERT_TRUE(stepped.Add(requests.back()).ok());
  }
  SequenceId oldest = 1;
  while (stepped.scheduler.HasWork()) {
    const StepPlan plan = stepped.Step();
    for (const SequenceId ended : plan.ends) {
      EXPECT_EQ(ended, oldest) << "equal requests end in arrival order";
      oldest = ended + 1;
    }
    if (plan.rows.empty()) continue;
    EXPECT_EQ(plan.rows.front().sequence, oldest) << "the oldest has a row in every step";
  }
  EXPECT_GT(stepped.scheduler.Stats().preemptions, 0);
  for (const RecordedRequest& request : requests) ExpectOfflineAnswer(request);
}

TEST(Preemption, CountsExactlyTheTokensThatItMakesComputedTwice) {
  for (const bool cached : {false, true}) {
    SchedulerSettings settings = Famine(6);
    settings.prefix_cache = cached;
    SteppedScheduler stepped(settings);
    std::vector<RecordedRequest> requests;
    for (int i = 0; i < 6; ++i) {
      requests.emplace_back(RequestShape{
          .id = std::to_string(i), .prompt = PromptOf(4, 10 * i), .max_new_tokens = 20});
      ASSERT_TRUE(stepped.Add(requests.back()).ok());
    }
    int64_t computed = 0;
    while (stepped.scheduler.HasWork()) {
      for (const PlanRow& row : stepped.Step().rows) computed += row.token_count;
    }
    const SchedulerStats stats = stepped.scheduler.Stats();
    EXPECT_GT(stats.preemptions, 0);
    EXPECT_GT(stats.recomputed_tokens, 0);
    EXPECT_EQ(computed, 6 * (4 + 20 - 1) + stats.recomputed_tokens) << "prefix cache " << cached;
  }
}

TEST(Preemption, LetsARequestOfExactlyAllBlocksFinish) {
  SteppedScheduler stepped(Famine(6));
  // 24 positions are computed; the 25th token is drawn and never computed.
  const RecordedRequest large({.id = "large", .prompt = PromptOf(9), .max_new_tokens = 16});
  const RecordedRequest other({.id = "other", .prompt = PromptOf(4), .max_new_tokens = 12});
  ASSERT_TRUE(stepped.Add(other).ok());
  ASSERT_TRUE(stepped.Add(large).ok());
  stepped.RunDry();
  ExpectOfflineAnswer(large);
  ExpectOfflineAnswer(other);
}

TEST(Preemption, RepeatsNoPromptScoreWhenItStrikesInMidPrefill) {
  SchedulerSettings settings = Famine(10);
  settings.max_step_tokens = 3;
  SteppedScheduler stepped(settings);
  const RecordedRequest old({.id = "old", .prompt = PromptOf(3), .max_new_tokens = 30});
  const RecordedRequest young({.id = "young",
                               .prompt = PromptOf(28, 100),
                               .max_new_tokens = 0,
                               .prompt_scores = true,
                               .embedding = true});
  ASSERT_TRUE(stepped.Add(old).ok());
  ASSERT_TRUE(stepped.Add(young).ok());
  stepped.RunDry();
  EXPECT_GT(stepped.scheduler.Stats().preemptions, 0);
  const Heard heard = young.sink->Get();
  EXPECT_THAT(heard.embedding, ElementsAre(127));
  ASSERT_EQ(heard.prompt_scores.size(), 27u);
  for (int i = 0; i < 27; ++i) EXPECT_EQ(heard.prompt_scores[i].token, 101 + i);
}

TEST(Preemption, RepeatsNoPromptScoreWhenItStrikesADecodingSequence) {
  SteppedScheduler stepped(Famine(8));
  const RecordedRequest old({.id = "old", .prompt = PromptOf(4), .max_new_tokens = 28});
  const RecordedRequest young(
      {.id = "young", .prompt = PromptOf(5, 100), .max_new_tokens = 24, .prompt_scores = true});
  ASSERT_TRUE(stepped.Add(old).ok());
  ASSERT_TRUE(stepped.Add(young).ok());
  stepped.RunDry();
  EXPECT_GT(stepped.scheduler.Stats().preemptions, 0);
  EXPECT_EQ(young.sink->Get().prompt_scores.size(), 4u);
}

TEST(Preemption, EndsAPreemptedRequestThatIsCancelled) {
  SteppedScheduler stepped(Famine(6));
  const RecordedRequest a({.id = "a", .prompt = PromptOf(4), .max_new_tokens = 20});
  const RecordedRequest b({.id = "b", .prompt = PromptOf(4), .max_new_tokens = 20});
  for (const auto* request : {&a, &b}) ASSERT_TRUE(stepped.Add(*request).ok());
  while (stepped.scheduler.Stats().preemptions == 0) stepped.Step();
  EXPECT_TRUE(stepped.scheduler.Cancel("b", FinishReason::kCancelled, stepped.now));
  EXPECT_EQ(stepped.scheduler.Stats().preempted_requests, 0);
  EXPECT_THAT(stepped.Step().ends, ElementsAre(2));
  stepped.RunDry();
  EXPECT_EQ(b.sink->Get().reason(), FinishReason::kCancelled);
  ExpectOfflineAnswer(a);
}

}  // namespace
}  // namespace hocket
