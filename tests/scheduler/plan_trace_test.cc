// A trace of a busy life is replayed to the same plans, and a changed one is caught.
#include "scheduler/plan_trace.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <random>
#include <sstream>

#include "scheduler/engine.h"
#include "stepped_scheduler.h"

namespace hocket {
namespace {

using ::testing::HasSubstr;

SchedulerSettings BusySettings() {
  SchedulerSettings settings = SmallSettings();
  settings.total_blocks = 48;
  settings.prefix_cache = true;
  settings.target_inter_token = absl::Milliseconds(8);
  settings.measured_steps = {{StepLoad().WithPrefill(0, 16), 0.01}};
  return settings;
}

// Drives a scheduler through everything that a trace records, and returns the trace.
std::string TraceOfABusyLife(uint64_t seed) {
  std::mt19937_64 random(seed);
  SteppedScheduler stepped(BusySettings());
  std::ostringstream out;
  PlanTraceWriter trace(BusySettings(), &out);
  for (int i = 0; i < 150; ++i) {
    RequestShape shape;
    shape.id = std::to_string(i);
    shape.prompt = PromptOf(1 + static_cast<int32_t>(random() % 30));
    shape.max_new_tokens = static_cast<int32_t>(random() % 20);
    shape.choices = random() % 4 == 0 ? 3 : 1;
    shape.told_beams = shape.choices > 1 && random() % 2 == 0 ? 2 : 0;
    if (shape.told_beams == 0 && random() % 6 == 0) {
      shape.roll_kept_tokens = 8;
      shape.max_new_tokens = 90;
    }
    if (shape.told_beams == 0 && random() % 3 == 0) {
      shape.max_draft_tokens = 5;
      shape.repeats_itself = true;
    }
    shape.may_stop = true;
    shape.prompt_scores = random() % 4 == 0;
    shape.tenant = std::to_string(random() % 3);
    shape.cache_salt = std::to_string(random() % 2);
    shape.priority = static_cast<PriorityClass>(random() % 3);
    if (random() % 5 == 0) shape.deadline = stepped.now + absl::Milliseconds(random() % 100);
    const RecordedRequest request(shape);
    trace.Add(request.request, stepped.now);
    EXPECT_TRUE(stepped.Add(request).ok());
    if (random() % 4 == 0) {
      const std::string id = std::to_string(random() % (i + 1));
      trace.Cancel(id, FinishReason::kCancelled, stepped.now);
      stepped.scheduler.Cancel(id, FinishReason::kCancelled, stepped.now);
    }
    const StepPlan& plan = stepped.scheduler.Plan(stepped.now);
    trace.Plan(plan, stepped.now);
    StepResult result;
    absl::Status status = stepped.executor.Execute(plan, result);
    if (i % 37 == 36) status = absl::InternalError("a fault");
    const absl::Duration executed = absl::Microseconds(500 + random() % 2000);
    stepped.now += executed;
    trace.Commit(status, result, stepped.now, executed);
    stepped.scheduler.Commit(status, result, stepped.now, executed);
  }
  trace.EndAll(FinishReason::kShutdown, stepped.now);
  stepped.scheduler.EndAll(FinishReason::kShutdown, stepped.now);
  trace.Plan(stepped.scheduler.Plan(stepped.now), stepped.now);
  EXPECT_GT(stepped.scheduler.Stats().preemptions, 0);
  EXPECT_GT(stepped.scheduler.Stats().prefix_cache.hits, 0);
  EXPECT_GT(stepped.scheduler.Stats().draft_tokens, 0);
  EXPECT_GT(stepped.executor.copied_blocks(), 0);
  return out.str();
}

TEST(PlanTrace, IsReplayedToTheSamePlans) {
  for (uint64_t seed = 1; seed <= 20; ++seed) {
    std::istringstream in(TraceOfABusyLife(seed));
    const absl::StatusOr<ReplayReport> report = ReplayPlans(in);
    ASSERT_TRUE(report.ok()) << report.status() << " seed " << seed;
    EXPECT_EQ(report->difference, "") << "seed " << seed;
    EXPECT_EQ(report->requests, 150);
    EXPECT_EQ(report->plans, 151);
  }
}

TEST(PlanTrace, ShowsTheFirstPlanThatDiffers) {
  std::string text = TraceOfABusyLife(1);
  // Another limit, other plans.
  const std::string head = "hocket-trace 2 48 4 8 16";
  ASSERT_EQ(text.find(head), 0u);
  text.replace(0, head.size(), "hocket-trace 2 48 4 8 9");
  std::istringstream in(text);
  const absl::StatusOr<ReplayReport> report = ReplayPlans(in);
  ASSERT_TRUE(report.ok()) << report.status();
  EXPECT_THAT(report->difference, HasSubstr("recorded step "));
  EXPECT_THAT(report->difference, HasSubstr("replayed step "));
}

TEST(PlanTrace, NamesALineThatIsNone) {
  for (const char* text : {"garbage", "hocket-trace 1 1 1 1 1 1 0 0",
                           "hocket-trace 2 8 4 2 16 64 1 0\nA 0 inf 4 1 0 -1 0 9 0 1 0 0 1 5 0",
                           "hocket-trace 2 8 4 2 16 64 1 0\nA 0 inf 4 1 0 -1 0 1 0 1 0 0 3 5",
                           "hocket-trace 2 8 4 2 16 64 1 0\nA 0 inf 4 1 0 -1 0 1 0 0 0 0 1 5 0",
                           "hocket-trace 2 8 4 2 16 64 1 0\nA 0 inf 4 1 0 -1 -1 1 0 1 0 0 1 5 0",
                           "hocket-trace 2 2147483647 4 2 16 64 1 0",
                           "hocket-trace 2 8 4 2147483647 2147483647 64 1 0",
                           "hocket-trace 2 8 4 2 16 64 1 0\nR 0 0 1 0",
                           "hocket-trace 2 0 4 2 16 64 1 0\nP 0 1 step 1"}) {
    std::istringstream in(text);
    EXPECT_EQ(ReplayPlans(in).status().code(), absl::StatusCode::kInvalidArgument) << text;
  }
}

TEST(PlanTrace, OfAnEngineIsReplayed) {
  std::ostringstream out;
  {
    SchedulerSettings settings = BusySettings();
    settings.admission.max_waiting_requests = 1000;
    FakeExecutor executor(settings);
    PlanTraceWriter trace(settings, &out);
    Engine engine(settings, &executor, nullptr, absl::Now, &trace);
    std::vector<RecordedRequest> requests;
    for (int i = 0; i < 60; ++i) {
      requests.emplace_back(RequestShape{.id = std::to_string(i), .max_new_tokens = 1 + i % 30});
      ASSERT_TRUE(engine.Submit(requests.back().Copy()).ok());
      if (i % 7 == 0) engine.Cancel(std::to_string(i));
    }
    engine.Drain(absl::Now() + absl::Milliseconds(20));
  }
  std::istringstream in(out.str());
  const absl::StatusOr<ReplayReport> report = ReplayPlans(in);
  ASSERT_TRUE(report.ok()) << report.status();
  EXPECT_EQ(report->difference, "");
  EXPECT_EQ(report->requests, 60);
}

}  // namespace
}  // namespace hocket
