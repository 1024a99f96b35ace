// A scheduler with a fake executor and a clock that the test moves: one call is one step, checked.
#ifndef HOCKET_TESTS_SCHEDULER_STEPPED_SCHEDULER_H_
#define HOCKET_TESTS_SCHEDULER_STEPPED_SCHEDULER_H_

#include <gtest/gtest.h>

#include <functional>

#include "absl/time/time.h"
#include "fake_executor.h"
#include "recorded_request.h"
#include "scheduler/scheduler.h"
#include "scheduler/step_text.h"

namespace hocket {

inline SchedulerSettings SmallSettings() {
  SchedulerSettings settings;
  settings.total_blocks = 64;
  settings.block_tokens = 4;
  settings.max_running_sequences = 8;
  settings.max_step_tokens = 16;
  settings.admission.max_waiting_requests = 16;
  settings.max_context_tokens = 64;
  settings.prefix_cache = false;  // Its own tests turn it on.
  return settings;
}

struct SteppedScheduler {
  explicit SteppedScheduler(const SchedulerSettings& settings = SmallSettings())
      : executor(settings), scheduler(settings) {}

  absl::Status Add(const RecordedRequest& recorded) {
    executor.Meet(recorded.request);
    return scheduler.Add(recorded.Copy(), now);
  }

  // Plan, Execute and Commit; returns a copy of the plan.
  StepPlan Step() {
    const StepPlan plan = scheduler.Plan(now);
    scheduler.CheckInvariants();
    StepResult result;
    const absl::Status status = executor.Execute(plan, result);
    const absl::Duration executed = time_of(scheduler.LastPlanShape().load);
    now += executed;
    scheduler.Commit(status, result, now, executed);
    scheduler.CheckInvariants();
    for (const std::string& violation : executor.violations()) ADD_FAILURE() << violation;
    return plan;
  }

  // Steps until nothing is left to do.
  int RunDry(int max_steps = 10000) {
    int steps = 0;
    for (; scheduler.HasWork() && steps < max_steps; ++steps) Step();
    EXPECT_FALSE(scheduler.HasWork()) << "still busy after " << steps << " steps";
    EXPECT_EQ(scheduler.Stats().used_blocks, 0);
    EXPECT_EQ(executor.live_sequences(), 0u);
    return steps;
  }

  // How long a step takes; by default nobody measures it.
  std::function<absl::Duration(const StepLoad&)> time_of = [](const StepLoad&) {
    return absl::ZeroDuration();
  };
  absl::Time now = absl::UnixEpoch();
  FakeExecutor executor;
  Scheduler scheduler;
};

// The client got exactly what the fake model answers offline, in every choice.
inline void ExpectOfflineAnswer(const RecordedRequest& recorded,
                                int32_t max_context_tokens = SmallSettings().max_context_tokens) {
  const Heard heard = recorded.sink->Get();
  const std::string& id = recorded.request.id;
  const auto& resumed = recorded.request.resumed;
  const std::vector<FakeAnswer> answers = OfflineAnswers(recorded.request, max_context_tokens);
  EXPECT_EQ(heard.finished_events, 1) << id;
  ASSERT_GE(heard.choices.size(), answers.size()) << id;
  for (size_t i = 0; i < answers.size(); ++i) {
    const FakeAnswer answer = AnswerAfter(answers[i], resumed == nullptr ? 0 : resumed->size());
    EXPECT_EQ(heard.choices[i].tokens, answer.tokens) << id << ", choice " << i;
    EXPECT_EQ(heard.choices[i].text, answer.text) << id << ", choice " << i;
    ASSERT_TRUE(heard.choices[i].finish.has_value()) << id << ", choice " << i;
    EXPECT_EQ(FinishReasonName(heard.choices[i].finish->reason), FinishReasonName(answer.reason));
  }
  EXPECT_EQ(FinishReasonName(heard.reason()), FinishReasonName(answers[0].reason)) << id;
  EXPECT_EQ(heard.finished.usage.generated_tokens, static_cast<int64_t>(heard.tokens.size())) << id;
  EXPECT_TRUE(heard.finished.status.ok()) << heard.finished.status;
  EXPECT_TRUE(heard.violations.empty()) << heard.violations.front();
}

}  // namespace hocket

#endif  // HOCKET_TESTS_SCHEDULER_STEPPED_SCHEDULER_H_
