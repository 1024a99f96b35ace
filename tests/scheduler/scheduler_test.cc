// Batching, chunking and the events that a request's sink hears.
#include "scheduler/scheduler.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "stepped_scheduler.h"

namespace hocket {
namespace {

using ::testing::ElementsAre;
using ::testing::IsEmpty;

TEST(Scheduler, RunsARequestToItsEnd) {
  SteppedScheduler stepped;
  const RecordedRequest request({.max_new_tokens = 4});
  ASSERT_TRUE(stepped.Add(request).ok());
  EXPECT_EQ(PlanText(stepped.Step()), "step 1 starts 1 row 1@0*[1,2,3]{0}");
  EXPECT_EQ(stepped.RunDry(), 4);  // Three decode steps, and one that tells the executor the end.
  ExpectOfflineAnswer(request);
  EXPECT_EQ(request.sink->Get().finished.usage.prompt_tokens, 3);
  EXPECT_EQ(request.sink->Get().finished.usage.generated_tokens, 4);
}

TEST(Scheduler, EndsASequenceThatDrawsAStopToken) {
  SteppedScheduler stepped;
  int stopped = 0;
  for (uint64_t seed = 0; seed < 50; ++seed) {
    const RecordedRequest request({.max_new_tokens = 30, .seed = seed, .may_stop = true});
    ASSERT_TRUE(stepped.Add(request).ok());
    stepped.RunDry();
    ExpectOfflineAnswer(request);
    const Heard heard = request.sink->Get();
    if (heard.reason() != FinishReason::kStopToken) continue;
    ++stopped;
    EXPECT_EQ(heard.finished.finish.stop_token, heard.tokens.back());
  }
  EXPECT_GT(stopped, 0);
}

TEST(Scheduler, GivesDecodeRowsThenPrefillChunksInArrivalOrderWithinTheBudget) {
  SchedulerSettings settings = SmallSettings();
  settings.max_step_tokens = 6;
  SteppedScheduler stepped(settings);
  const RecordedRequest first({.id = "a", .prompt = PromptOf(4), .max_new_tokens = 8});
  const RecordedRequest second({.id = "b", .prompt = PromptOf(10), .max_new_tokens = 2});
  const RecordedRequest third({.id = "c", .prompt = PromptOf(2), .max_new_tokens = 2});
  for (const auto* request : {&first, &second, &third}) ASSERT_TRUE(stepped.Add(*request).ok());
  const auto shapes = [&] {
    std::vector<std::tuple<SequenceId, int, int, bool>> rows;
    for (const PlanRow& row : stepped.Step().rows) {
      rows.emplace_back(row.sequence, row.first_position, row.token_count, row.samples);
    }
    return rows;
  };
  using Row = std::tuple<SequenceId, int, int, bool>;
  EXPECT_THAT(shapes(), ElementsAre(Row(1, 0, 4, true), Row(2, 0, 2, false)));
  EXPECT_THAT(shapes(), ElementsAre(Row(1, 4, 1, true), Row(2, 2, 5, false)));
  EXPECT_THAT(shapes(), ElementsAre(Row(1, 5, 1, true), Row(2, 7, 3, true), Row(3, 0, 2, true)));
  EXPECT_THAT(shapes(), ElementsAre(Row(1, 6, 1, true), Row(2, 10, 1, true), Row(3, 2, 1, true)));
  EXPECT_THAT(shapes(), ElementsAre(Row(1, 7, 1, true)));
  stepped.RunDry();
  for (const auto* request : {&first, &second, &third}) ExpectOfflineAnswer(*request);
}

TEST(Scheduler, ReportsTheShapeOfAPlan) {
  SchedulerSettings settings = SmallSettings();
  settings.max_step_tokens = 6;
  SteppedScheduler stepped(settings);
  ASSERT_TRUE(stepped.Add(RecordedRequest({.id = "a", .prompt = PromptOf(4)})).ok());
  ASSERT_TRUE(stepped.Add(RecordedRequest({.id = "b", .prompt = PromptOf(10)})).ok());
  stepped.Step();
  stepped.Step();
  const PlanShape shape = stepped.scheduler.LastPlanShape();
  EXPECT_EQ(shape.load.decode_rows, 1);
  EXPECT_EQ(shape.prefill_rows, 1);
  EXPECT_EQ(shape.load.prefill_tokens, 5);
}

TEST(Scheduler, LetsANewcomerJoinARunningBatchAndFreesTheBlocksOfWhatEnds) {
  SteppedScheduler stepped;
  const RecordedRequest old({.id = "old", .max_new_tokens = 3});
  const RecordedRequest fresh({.id = "new", .max_new_tokens = 3});
  ASSERT_TRUE(stepped.Add(old).ok());
  stepped.Step();
  stepped.Step();
  ASSERT_TRUE(stepped.Add(fresh).ok());
  EXPECT_EQ(stepped.Step().rows.size(), 2u);  // The old one's last step is the new one's first.
  EXPECT_TRUE(old.sink->Get().ended());
  EXPECT_EQ(stepped.scheduler.Stats().used_blocks, 1);
  const StepPlan plan = stepped.Step();
  EXPECT_THAT(plan.ends, ElementsAre(1));
  EXPECT_EQ(plan.rows.size(), 1u);
  stepped.RunDry();
  ExpectOfflineAnswer(fresh);
}

TEST(Scheduler, KeepsTheRunningLimit) {
  SchedulerSettings settings = SmallSettings();
  settings.max_running_sequences = 2;
  SteppedScheduler stepped(settings);
  std::vector<RecordedRequest> requests;
  for (int i = 0; i < 5; ++i) {
    requests.emplace_back(RequestShape{.id = std::to_string(i)});
    ASSERT_TRUE(stepped.Add(requests.back()).ok());
  }
  EXPECT_EQ(stepped.Step().rows.size(), 2u);
  EXPECT_EQ(stepped.scheduler.Stats().running_sequences, 2);
  EXPECT_EQ(stepped.scheduler.Stats().waiting_requests, 3);
  stepped.RunDry();
  for (const RecordedRequest& request : requests) ExpectOfflineAnswer(request);
}

TEST(Scheduler, NeverRunsMoreSequencesThanAStepHasTokens) {
  SchedulerSettings settings = SmallSettings();
  settings.max_step_tokens = 3;
  SteppedScheduler stepped(settings);
  std::vector<RecordedRequest> requests;
  for (int i = 0; i < 8; ++i) {
    requests.emplace_back(RequestShape{.id = std::to_string(i), .max_new_tokens = 10});
    ASSERT_TRUE(stepped.Add(requests.back()).ok());
  }
  for (int i = 0; i < 8; ++i) stepped.Step();
  EXPECT_EQ(stepped.scheduler.Stats().running_sequences, 3);
  stepped.RunDry();
  for (const RecordedRequest& request : requests) ExpectOfflineAnswer(request);
}

TEST(Scheduler, OnlyPrefillsARequestForNoNewTokens) {
  SchedulerSettings settings = SmallSettings();
  settings.max_step_tokens = 4;
  SteppedScheduler stepped(settings);
  const RecordedRequest request(
      {.prompt = PromptOf(10, 100), .max_new_tokens = 0, .prompt_scores = true, .embedding = true});
  ASSERT_TRUE(stepped.Add(request).ok());
  for (int i = 0; i < 3; ++i) {
    for (const PlanRow& row : stepped.Step().rows) EXPECT_FALSE(row.samples);
  }
  const Heard heard = request.sink->Get();
  EXPECT_EQ(heard.finished_events, 1);
  EXPECT_EQ(heard.reason(), FinishReason::kLength);
  EXPECT_THAT(heard.tokens, IsEmpty());
  EXPECT_THAT(heard.embedding, ElementsAre(109));
  ASSERT_EQ(heard.prompt_scores.size(), 9u);
  for (int i = 0; i < 9; ++i) EXPECT_EQ(heard.prompt_scores[i].token, 101 + i);
  stepped.RunDry();
}

TEST(Scheduler, TellsTheSinkWhenEachPhaseEnded) {
  SchedulerSettings settings = SmallSettings();
  settings.max_step_tokens = 2;
  SteppedScheduler stepped(settings);
  const RecordedRequest request({.prompt = PromptOf(4), .max_new_tokens = 2});
  ASSERT_TRUE(stepped.Add(request).ok());
  EXPECT_FALSE(request.sink->Get().started.has_value());
  for (const int64_t seconds : {5, 6, 8}) {
    stepped.now = absl::UnixEpoch() + absl::Seconds(seconds);
    stepped.Step();
  }
  const Heard heard = request.sink->Get();
  EXPECT_EQ(heard.started->queued, absl::Seconds(5));
  EXPECT_EQ(heard.started->prompt_tokens, 4);
  EXPECT_EQ(heard.finished.timings.queued, absl::Seconds(5));
  EXPECT_EQ(heard.finished.timings.prefill, absl::Seconds(1));
  EXPECT_EQ(heard.finished.timings.decode, absl::Seconds(2));
}

TEST(Scheduler, ForwardsNoOutcomeWithoutContent) {
  SchedulerSettings settings = SmallSettings();
  settings.max_step_tokens = 2;
  SteppedScheduler stepped(settings);
  const RecordedRequest request({.prompt = PromptOf(8), .max_new_tokens = 1});
  ASSERT_TRUE(stepped.Add(request).ok());
  stepped.RunDry();
  EXPECT_EQ(request.sink->Get().outcomes, 1);
}

TEST(Scheduler, PlansTheSameForTheSameCalls) {
  const auto run = [] {
    SchedulerSettings settings = SmallSettings();
    settings.total_blocks = 16;
    SteppedScheduler stepped(settings);
    std::string text;
    for (int i = 0; i < 12; ++i) {
      const RecordedRequest request({.id = std::to_string(i), .max_new_tokens = 20});
      EXPECT_TRUE(stepped.Add(request).ok());
      text += PlanText(stepped.Step());
    }
    while (stepped.scheduler.HasWork()) text += PlanText(stepped.Step());
    return text;
  };
  EXPECT_EQ(run(), run());
}

TEST(Scheduler, PlansNothingWhenItHoldsNothing) {
  SteppedScheduler stepped;
  EXPECT_FALSE(stepped.scheduler.HasWork());
  const StepPlan plan = stepped.Step();
  EXPECT_THAT(plan.rows, IsEmpty());
  EXPECT_THAT(plan.ends, IsEmpty());
}

TEST(SchedulerDeathTest, AbortsWhenAPlanIsNotCommitted) {
  SteppedScheduler stepped;
  stepped.scheduler.Plan(stepped.now);
  EXPECT_DEATH(stepped.scheduler.Plan(stepped.now), "committed before the next");
}

}  // namespace
}  // namespace hocket
