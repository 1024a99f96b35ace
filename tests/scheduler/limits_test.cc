// What ends a request early or keeps it out: sizes, the waiting line, cancel, deadline, faults.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "stepped_scheduler.h"

namespace hocket {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;

TEST(SchedulerSettings, RefusesAnUnsetLimitByName) {
  EXPECT_TRUE(SmallSettings().Validate().ok());
  SchedulerSettings settings = SmallSettings();
  settings.max_context_tokens = 0;
  EXPECT_EQ(settings.Validate().code(), absl::StatusCode::kInvalidArgument);
  EXPECT_THAT(settings.Validate().message(), HasSubstr("max_context_tokens is 0"));
}

TEST(CheckFits, RefusesAPromptOverTheContextWithTheNumbers) {
  const Scheduler scheduler(SmallSettings());
  const absl::Status status = scheduler.CheckFits(65, 0);
  EXPECT_EQ(status.code(), absl::StatusCode::kInvalidArgument);
  EXPECT_THAT(status.message(), HasSubstr("65"));
  EXPECT_THAT(status.message(), HasSubstr("64"));
  EXPECT_TRUE(scheduler.CheckFits(64, 0).ok());
  EXPECT_FALSE(scheduler.CheckFits(64, 1).ok()) << "no room for a new token";
  EXPECT_TRUE(scheduler.CheckFits(63, 1).ok());
  EXPECT_FALSE(scheduler.CheckFits(0, 1).ok());
  EXPECT_FALSE(scheduler.CheckFits(1, -1).ok());
}

TEST(CheckFits, RefusesWhatNeedsMoreBlocksThanExistWithTheNumbers) {
  SchedulerSettings settings = SmallSettings();
  settings.total_blocks = 4;
  const Scheduler scheduler(settings);
  EXPECT_TRUE(scheduler.CheckFits(10, 7).ok()) << "the last token drawn needs no position";
  const absl::Status status = scheduler.CheckFits(10, 8);
  EXPECT_EQ(status.code(), absl::StatusCode::kResourceExhausted);
  EXPECT_THAT(status.message(), HasSubstr("needs 5 KV blocks of 4 tokens, and there are 4"));
}

TEST(CheckFits, CountsThePromptsFullBlocksOnceForAllChoices) {
  SchedulerSettings settings = SmallSettings();
  settings.total_blocks = 11;
  const Scheduler scheduler(settings);
  // 17 prompt tokens, 4 new ones: 20 positions, 5 blocks each, of which 4 hold positions 0 .. 15.
  EXPECT_TRUE(scheduler.CheckFits(17, 4, 7).ok());
  const absl::Status status = scheduler.CheckFits(17, 4, 8);
  EXPECT_EQ(status.code(), absl::StatusCode::kResourceExhausted);
  EXPECT_THAT(status.message(), HasSubstr("and 8 choices needs 12 KV blocks of 4 tokens"));
  // A prompt of 16 ends in a block that each fills for itself.
  EXPECT_TRUE(scheduler.CheckFits(16, 5, 4).ok());
  EXPECT_FALSE(scheduler.CheckFits(16, 5, 5).ok());
  // What rolls may forget the prompt, and then shares nothing.
  EXPECT_FALSE(scheduler.CheckFits(17, 60, 2, true).ok());
  EXPECT_TRUE(scheduler.CheckFits(17, 4, 7, true).ok());
}

TEST(CheckFits, RefusesMoreChoicesThanRunAtOnceWithTheNumbers) {
  const Scheduler scheduler(SmallSettings());
  EXPECT_TRUE(scheduler.CheckFits(4, 4, 8).ok());
  const absl::Status status = scheduler.CheckFits(4, 4, 9);
  EXPECT_EQ(status.code(), absl::StatusCode::kResourceExhausted);
  EXPECT_THAT(status.message(), HasSubstr("a request of 9 choices"));
  EXPECT_THAT(status.message(), HasSubstr("at most 8 sequences"));
  EXPECT_EQ(scheduler.CheckFits(4, 4, 0).code(), absl::StatusCode::kInvalidArgument);
}

TEST(Add, RefusesAnIdThatIsHeldAndTakesItAgainAfterwards) {
  SteppedScheduler stepped;
  ASSERT_TRUE(stepped.Add(RecordedRequest({.id = "a"})).ok());
  EXPECT_EQ(stepped.Add(RecordedRequest({.id = "a"})).code(), absl::StatusCode::kAlreadyExists);
  stepped.RunDry();
  EXPECT_TRUE(stepped.Add(RecordedRequest({.id = "a"})).ok());
  stepped.RunDry();
}

TEST(Cancel, EndsAWaitingRequestThatTheExecutorNeverHearsOf) {
  SteppedScheduler stepped;
  const RecordedRequest request({.id = "a"});
  ASSERT_TRUE(stepped.Add(request).ok());
  EXPECT_TRUE(stepped.scheduler.Cancel("a", FinishReason::kCancelled, stepped.now));
  EXPECT_FALSE(stepped.scheduler.HasWork());
  const Heard heard = request.sink->Get();
  EXPECT_FALSE(heard.started.has_value());
  EXPECT_EQ(heard.reason(), FinishReason::kCancelled);
  EXPECT_EQ(heard.finished.status.code(), absl::StatusCode::kCancelled);
  EXPECT_FALSE(stepped.scheduler.Cancel("a", FinishReason::kCancelled, stepped.now));
}

TEST(Cancel, FreesTheBlocksOfARequestInMidPrefillBeforeTheNextPlan) {
  SchedulerSettings settings = SmallSettings();
  settings.max_step_tokens = 4;
  SteppedScheduler stepped(settings);
  const RecordedRequest request({.id = "a", .prompt = PromptOf(20)});
  ASSERT_TRUE(stepped.Add(request).ok());
  stepped.Step();
  EXPECT_GT(stepped.scheduler.Stats().used_blocks, 0);
  EXPECT_TRUE(stepped.scheduler.Cancel("a", FinishReason::kCancelled, stepped.now));
  EXPECT_EQ(stepped.scheduler.Stats().used_blocks, 0);
  const StepPlan plan = stepped.Step();
  EXPECT_THAT(plan.ends, ElementsAre(1));
  EXPECT_THAT(plan.rows, IsEmpty());
  stepped.RunDry();
}

TEST(Cancel, DropsTheOutcomeOfAStepThatIsUnderWay) {
  SteppedScheduler stepped;
  const RecordedRequest request({.id = "a"});
  const RecordedRequest other({.id = "b"});
  ASSERT_TRUE(stepped.Add(request).ok());
  ASSERT_TRUE(stepped.Add(other).ok());
  const StepPlan& plan = stepped.scheduler.Plan(stepped.now);
  StepResult result;
  ASSERT_TRUE(stepped.executor.Execute(plan, result).ok());
  EXPECT_TRUE(stepped.scheduler.Cancel("a", FinishReason::kCancelled, stepped.now));
  stepped.scheduler.Commit(absl::OkStatus(), result, stepped.now);
  stepped.scheduler.CheckInvariants();
  EXPECT_EQ(request.sink->Get().outcomes, 0);
  EXPECT_EQ(request.sink->Get().finished_events, 1);
  stepped.RunDry();
  ExpectOfflineAnswer(other);
}

TEST(EndAll, EndsEveryRequestWithTheReason) {
  SchedulerSettings settings = SmallSettings();
  settings.max_running_sequences = 2;
  SteppedScheduler stepped(settings);
  std::vector<RecordedRequest> requests;
  for (int i = 0; i < 5; ++i) {
    requests.emplace_back(RequestShape{.id = std::to_string(i)});
    ASSERT_TRUE(stepped.Add(requests.back()).ok());
  }
  stepped.Step();
  EXPECT_EQ(stepped.scheduler.EndAll(FinishReason::kShutdown, stepped.now), 5);
  for (const RecordedRequest& request : requests) {
    EXPECT_EQ(request.sink->Get().reason(), FinishReason::kShutdown);
    EXPECT_EQ(request.sink->Get().finished.status.code(), absl::StatusCode::kUnavailable);
  }
  stepped.RunDry();
}

TEST(Deadline, EndsARequestInThePlanThatPassesIt) {
  SchedulerSettings settings = SmallSettings();
  settings.max_running_sequences = 1;
  SteppedScheduler stepped(settings);
  const absl::Time deadline = stepped.now + absl::Seconds(1);
  const RecordedRequest running({.id = "a", .max_new_tokens = 30, .deadline = deadline});
  const RecordedRequest waiting(
      {.id = "b", .max_new_tokens = 30, .deadline = deadline + absl::Seconds(1)});
  const RecordedRequest patient({.id = "c"});
  for (const auto* request : {&running, &waiting, &patient}) {
    ASSERT_TRUE(stepped.Add(*request).ok());
  }
  EXPECT_EQ(stepped.scheduler.NextDeadline(), deadline);
  stepped.Step();
  EXPECT_FALSE(running.sink->Get().ended());
  stepped.now = deadline + absl::Seconds(1);
  const StepPlan plan = stepped.Step();
  EXPECT_THAT(plan.ends, ElementsAre(1));
  EXPECT_EQ(plan.rows.front().sequence, 3u);
  for (const auto* request : {&running, &waiting}) {
    EXPECT_EQ(request->sink->Get().reason(), FinishReason::kDeadline);
    EXPECT_EQ(request->sink->Get().finished.status.code(), absl::StatusCode::kDeadlineExceeded);
  }
  EXPECT_EQ(stepped.scheduler.NextDeadline(), absl::InfiniteFuture());
  stepped.RunDry();
  ExpectOfflineAnswer(patient);
}

TEST(Fault, OfARowFailsThatRequestAndNoOther) {
  SteppedScheduler stepped;
  const RecordedRequest bad({.id = "bad", .max_new_tokens = 10});
  const RecordedRequest good({.id = "good", .max_new_tokens = 10});
  ASSERT_TRUE(stepped.Add(bad).ok());
  ASSERT_TRUE(stepped.Add(good).ok());
  stepped.executor.row_fault = [](const PlanRow& row) {
    return row.sequence == 1 && row.first_position > 4 ? absl::DataLossError("a bad row")
                                                       : absl::OkStatus();
  };
  stepped.RunDry();
  EXPECT_EQ(bad.sink->Get().reason(), FinishReason::kError);
  EXPECT_EQ(bad.sink->Get().finished.status, absl::DataLossError("a bad row"));
  ExpectOfflineAnswer(good);
}

TEST(Fault, OfAWholeStepFailsItsRowsAndLeavesTheWaitingAlone) {
  SchedulerSettings settings = SmallSettings();
  settings.max_running_sequences = 2;
  SteppedScheduler stepped(settings);
  const RecordedRequest a({.id = "a"});
  const RecordedRequest b({.id = "b"});
  const RecordedRequest c({.id = "c"});
  for (const auto* request : {&a, &b, &c}) ASSERT_TRUE(stepped.Add(*request).ok());
  stepped.executor.step_fault = [] { return absl::InternalError("a bad step"); };
  stepped.Step();
  stepped.executor.step_fault = nullptr;
  EXPECT_EQ(a.sink->Get().reason(), FinishReason::kError);
  EXPECT_EQ(b.sink->Get().finished.status, absl::InternalError("a bad step"));
  EXPECT_FALSE(c.sink->Get().ended());
  EXPECT_THAT(stepped.Step().ends, ElementsAre(1, 2));
  stepped.RunDry();
  ExpectOfflineAnswer(c);
}

// An executor's answer for the first plan, made by hand.
Heard CommitByHand(StepResult result) {
  SteppedScheduler stepped;
  const RecordedRequest request({.id = "a", .max_new_tokens = 2});
  EXPECT_TRUE(stepped.Add(request).ok());
  stepped.scheduler.Plan(stepped.now);
  stepped.scheduler.Commit(absl::OkStatus(), result, stepped.now);
  stepped.scheduler.CheckInvariants();
  return request.sink->Get();
}

TEST(Fault, OfAnExecutorThatBreaksTheContractFailsTheRequest) {
  EXPECT_THAT(CommitByHand({}).finished.status.message(), HasSubstr("0 outcomes for 1 rows"));

  StepResult silent;
  silent.outcomes.resize(1);
  silent.outcomes[0].sequence = 1;
  EXPECT_THAT(CommitByHand(silent).finished.status.message(), HasSubstr("drew no token"));

  StepResult mixed_up = silent;
  mixed_up.outcomes[0].sequence = 7;
  mixed_up.outcomes[0].tokens = {5};
  EXPECT_THAT(CommitByHand(mixed_up).finished.status.message(), HasSubstr("sequence 7"));

  StepResult overrun = silent;
  overrun.outcomes[0].tokens = {5, 6};
  EXPECT_THAT(CommitByHand(overrun).finished.status.message(), HasSubstr("2 tokens where 1"));

  StepResult moved = silent;
  moved.outcomes[0].tokens = {5};
  moved.outcomes[0].move = BeamMove();
  EXPECT_THAT(CommitByHand(moved).finished.status.message(), HasSubstr("not to move"));
}

TEST(Guard, EndsASequenceThatTheExecutorLetsRunPastItsLimits) {
  SteppedScheduler lengthy;
  RecordedRequest longer({.id = "a", .max_new_tokens = 9});
  longer.request.max_new_tokens = 2;
  ASSERT_TRUE(lengthy.Add(longer).ok());
  lengthy.RunDry();
  EXPECT_EQ(longer.sink->Get().reason(), FinishReason::kLength);
  EXPECT_EQ(longer.sink->Get().tokens.size(), 2u);

  SchedulerSettings settings = SmallSettings();
  settings.max_context_tokens = 8;
  SteppedScheduler stepped(settings);
  const RecordedRequest request({.id = "a", .max_new_tokens = 100});
  ASSERT_TRUE(stepped.Add(request).ok());
  stepped.RunDry();
  EXPECT_EQ(request.sink->Get().reason(), FinishReason::kContext);
  EXPECT_EQ(request.sink->Get().tokens.size(), 5u);
}

}  // namespace
}  // namespace hocket
