// Guessed tokens: computed beside the known one, kept where they come true, never in anybody's way.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "stepped_scheduler.h"

namespace hocket {
namespace {

using ::testing::HasSubstr;

// A prompt that repeats itself, and a model that mostly does.
RequestShape Repeating(int32_t max_new_tokens, int32_t max_draft_tokens) {
  RequestShape shape{.max_new_tokens = max_new_tokens,
                     .max_draft_tokens = max_draft_tokens,
                     .repeats_itself = true};
  shape.prompt.clear();
  for (int i = 0; i < 22; ++i) shape.prompt.push_back(100 + i % 11);
  return shape;
}

SchedulerSettings LongContext() {
  SchedulerSettings settings = SmallSettings();
  settings.max_context_tokens = 256;
  settings.max_step_tokens = 32;
  return settings;
}

TEST(Drafts, ChangeNoTokenAndTakeFewerSteps) {
  for (uint64_t seed = 0; seed < 20; ++seed) {
    int steps[2] = {};
    for (const int32_t drafts : {0, 6}) {
      RequestShape shape = Repeating(120, drafts);
      shape.seed = seed;
      shape.may_stop = seed % 2 == 1;
      const RecordedRequest request(shape);
      SteppedScheduler stepped(LongContext());
      ASSERT_TRUE(stepped.Add(request).ok());
      steps[drafts > 0] = stepped.RunDry();
      ExpectOfflineAnswer(request, 256);
      const SchedulerStats stats = stepped.scheduler.Stats();
      EXPECT_LE(stats.accepted_draft_tokens, stats.draft_tokens);
      EXPECT_EQ(stats.draft_tokens > 0, drafts > 0);
    }
    EXPECT_LE(steps[1], steps[0]) << "seed " << seed;
    if (seed % 2 == 0) {
      EXPECT_LT(steps[1], 0.8 * steps[0]) << "seed " << seed;
    }
  }
}

TEST(Drafts, StandAfterTheKnownTokenInItsRow) {
  SteppedScheduler stepped(LongContext());
  const RecordedRequest request(Repeating(60, 4));
  ASSERT_TRUE(stepped.Add(request).ok());
  int64_t drafts = 0;
  int64_t accepted = 0;
  while (stepped.scheduler.HasWork()) {
    const size_t told = request.sink->Get().tokens.size();
    const StepPlan plan = stepped.Step();
    const size_t more = request.sink->Get().tokens.size() - told;
    for (const PlanRow& row : plan.rows) {
      EXPECT_LE(row.draft_tokens, 4);
      if (row.draft_tokens == 0) continue;
      EXPECT_TRUE(row.samples);
      EXPECT_EQ(row.token_count, 1 + row.draft_tokens);
      EXPECT_EQ(row.first_position, 22 + static_cast<int32_t>(told) - 1);
      EXPECT_EQ(stepped.scheduler.LastPlanShape().draft_tokens, row.draft_tokens);
      EXPECT_EQ(stepped.scheduler.LastPlanShape().load.prefill_tokens, row.draft_tokens);
      EXPECT_EQ(stepped.scheduler.LastPlanShape().load.decode_rows, 1);
      drafts += row.draft_tokens;
      accepted += static_cast<int64_t>(more) - 1;
    }
  }
  EXPECT_GT(accepted, 0);
  EXPECT_EQ(stepped.scheduler.Stats().draft_tokens, drafts);
  EXPECT_EQ(stepped.scheduler.Stats().accepted_draft_tokens, accepted);
}

TEST(Drafts, LeaveEveryRunningSequenceItsTokenAndPromptsHalfOfTheRest) {
  SchedulerSettings settings = LongContext();
  settings.max_step_tokens = 12;
  SteppedScheduler stepped(settings);
  std::vector<RecordedRequest> requests;
  for (int i = 0; i < 4; ++i) {
    RequestShape shape = Repeating(80, 8);
    shape.id = std::to_string(i);
    shape.seed = i;
    requests.emplace_back(shape);
    ASSERT_TRUE(stepped.Add(requests.back()).ok());
  }
  bool full = false;
  while (stepped.scheduler.HasWork()) {
    const StepPlan plan = stepped.scheduler.Plan(stepped.now);
    const int32_t running = stepped.scheduler.Stats().running_sequences;
    const int32_t drafts = stepped.scheduler.LastPlanShape().draft_tokens;
    EXPECT_LE(drafts, (12 - running) / 2 + running);
    full |= running == 4 && drafts == (12 - 4) / 2;
    if (running == 4) {
      EXPECT_EQ(plan.rows.size(), 4u);
    }
    StepResult result;
    ASSERT_TRUE(stepped.executor.Execute(plan, result).ok());
    stepped.scheduler.Commit(absl::OkStatus(), result, stepped.now);
    stepped.scheduler.CheckInvariants();
  }
  EXPECT_TRUE(full);
  for (const RecordedRequest& request : requests) ExpectOfflineAnswer(request, 256);
}

TEST(Drafts, GoNeitherOverTheContextNorOverTheNewTokensAskedFor) {
  SchedulerSettings settings = LongContext();
  settings.max_context_tokens = 40;
  SteppedScheduler stepped(settings);  // Its executor checks both.
  for (uint64_t seed = 0; seed < 20; ++seed) {
    RequestShape shape = Repeating(static_cast<int32_t>(18 - seed % 4), 8);
    shape.seed = seed;
    const RecordedRequest request(shape);
    ASSERT_TRUE(stepped.Add(request).ok());
    stepped.RunDry();
    ExpectOfflineAnswer(request, 40);
  }
  EXPECT_GT(stepped.scheduler.Stats().accepted_draft_tokens, 0);
}

TEST(Drafts, GoOnWhereAContextRollsAndWhereARequestResumes) {
  SchedulerSettings settings = LongContext();
  settings.max_context_tokens = 40;
  SteppedScheduler stepped(settings);
  for (uint64_t seed = 0; seed < 10; ++seed) {
    RequestShape shape = Repeating(120, 5);
    shape.seed = seed;
    shape.roll_kept_tokens = 4;
    shape.resumed = OfflineAnswers(RecordedRequest(shape).request, 40)[0].tokens;
    shape.resumed.resize(10 * seed);
    const RecordedRequest request(shape);
    ASSERT_TRUE(stepped.Add(request).ok());
    stepped.RunDry();
    ExpectOfflineAnswer(request, 40);
  }
  EXPECT_GT(stepped.scheduler.Stats().accepted_draft_tokens, 0);
}

TEST(Drafts, PreemptNobodyAndTakeNoBlockThatIsInReserve) {
  SchedulerSettings settings = LongContext();
  // Two sequences of 22 + 19 positions each fill all.
  settings.total_blocks = 22;
  SteppedScheduler stepped(settings);
  std::vector<RecordedRequest> requests;
  for (int i = 0; i < 2; ++i) {
    RequestShape shape = Repeating(20, 8);
    shape.id = std::to_string(i);
    shape.seed = i + 1;
    requests.emplace_back(shape);
    ASSERT_TRUE(stepped.Add(requests.back()).ok());
  }
  stepped.RunDry();
  EXPECT_EQ(stepped.scheduler.Stats().preemptions, 0);
  EXPECT_GT(stepped.scheduler.Stats().draft_tokens, 0);
  for (const RecordedRequest& request : requests) ExpectOfflineAnswer(request, 256);
}

TEST(Drafts, OfSeveralChoicesAreEachItsOwn) {
  for (const bool prefix_cache : {false, true}) {
    SchedulerSettings settings = LongContext();
    settings.prefix_cache = prefix_cache;
    settings.total_blocks = 128;
    SteppedScheduler stepped(settings);
    RequestShape shape = Repeating(80, 6);
    shape.choices = 3;
    const RecordedRequest request(shape);
    ASSERT_TRUE(stepped.Add(request).ok());
    stepped.RunDry();
    ExpectOfflineAnswer(request, 256);
    EXPECT_GT(stepped.scheduler.Stats().accepted_draft_tokens, 0);
  }
}

TEST(Drafts, EnterOnlyAcceptedPositionsInTheCache) {
  SchedulerSettings settings = LongContext();
  settings.prefix_cache = true;
  SteppedScheduler stepped(settings);
  RequestShape shape = Repeating(60, 6);
  const RecordedRequest first(shape);
  ASSERT_TRUE(stepped.Add(first).ok());
  stepped.RunDry();
  // The next turn finds 22 + 59 computed positions, and the executor reads each of them back.
  for (const TokenId token : first.sink->Get().tokens) shape.prompt.push_back(token);
  shape.prompt.push_back(5);
  const RecordedRequest second(shape);
  ASSERT_TRUE(stepped.Add(second).ok());
  stepped.RunDry();
  EXPECT_EQ(second.sink->Get().finished.usage.cached_tokens, 80);
  ExpectOfflineAnswer(second, 256);
}

TEST(Drafts, KeepAStepWithinItsTargetTime) {
  SchedulerSettings settings = LongContext();
  settings.target_inter_token = absl::Milliseconds(10);
  SteppedScheduler stepped(settings);
  stepped.time_of = [](const StepLoad& load) {
    return absl::Microseconds(4000 + 500 * load.decode_rows + 1000 * load.prefill_tokens);
  };
  const RecordedRequest request(Repeating(150, 8));
  ASSERT_TRUE(stepped.Add(request).ok());
  int64_t drafts = 0;
  while (stepped.scheduler.HasWork()) {
    const absl::Time before = stepped.now;
    stepped.Step();
    const PlanShape shape = stepped.scheduler.LastPlanShape();
    drafts += shape.draft_tokens;
    if (shape.predicted_seconds == 0 || shape.draft_tokens == 0) continue;
    EXPECT_LE(stepped.now - before, absl::Milliseconds(10));
    EXPECT_LE(shape.draft_tokens, 2) << "half of the five that would fit";
  }
  EXPECT_GT(drafts, 0);
  ExpectOfflineAnswer(request, 256);
}

TEST(Drafts, FailARequestWhoseExecutorGoesOnAfterAWrongGuess) {
  SteppedScheduler stepped(LongContext());
  const RecordedRequest request(Repeating(150, 4));
  ASSERT_TRUE(stepped.Add(request).ok());
  while (true) {
    const StepPlan plan = stepped.scheduler.Plan(stepped.now);
    ASSERT_FALSE(plan.rows.empty());
    StepResult result;
    ASSERT_TRUE(stepped.executor.Execute(plan, result).ok());
    const bool guessed = plan.rows[0].draft_tokens > 0;
    if (guessed) {
      result.outcomes[0].tokens = {plan.tokens[1] + 1, 7};
      result.outcomes[0].finish.reset();
    }
    stepped.scheduler.Commit(absl::OkStatus(), result, stepped.now);
    if (guessed) break;
  }
  EXPECT_EQ(request.sink->Get().reason(), FinishReason::kError);
  EXPECT_THAT(std::string(request.sink->Get().finished.status.message()),
              HasSubstr("after a guess that was wrong"));
}

}  // namespace
}  // namespace hocket
