// What planning costs: one Plan and Commit with so many sequences decoding and so many requests
// waiting, the executor left out.
#include <benchmark/benchmark.h>

#include <string>

#include "recorded_request.h"
#include "scheduler/scheduler.h"

namespace hocket {
namespace {

class SilentSink final : public Sink {
 public:
  void OnStarted(const StartedEvent&) override {}
  void OnOutcome(Outcome outcome) override { benchmark::DoNotOptimize(outcome.tokens.data()); }
  void OnFinished(const FinishedEvent&) override {}
};

void Answer(const StepPlan& plan, StepResult& result) {
  result.outcomes.resize(plan.rows.size());
  for (size_t i = 0; i < plan.rows.size(); ++i) {
    result.outcomes[i] = Outcome();
    result.outcomes[i].sequence = plan.rows[i].sequence;
    if (plan.rows[i].samples) result.outcomes[i].tokens = {7};
  }
}

void PlanAndCommit(benchmark::State& state) {
  const int32_t running = static_cast<int32_t>(state.range(0));
  const int32_t waiting = static_cast<int32_t>(state.range(1));
  SchedulerSettings settings;
  settings.total_blocks = 1 << 20;
  settings.max_running_sequences = running;
  settings.max_step_tokens = 512;
  settings.max_context_tokens = 1 << 24;
  Scheduler scheduler(settings);
  const absl::Time start = absl::UnixEpoch();
  for (int32_t i = 0; i < running + waiting; ++i) {
    RecordedRequest recorded({.id = std::to_string(i),
                              .prompt = PromptOf(500),
                              .max_new_tokens = 1 << 14,
                              .deadline = start + absl::Hours(1 + i)});
    recorded.request.sink = std::make_shared<SilentSink>();
    if (!scheduler.Add(recorded.Copy(), start).ok()) state.SkipWithError("not admitted");
  }
  StepResult result;
  while (scheduler.LastPlanShape().load.decode_rows < running) {
    Answer(scheduler.Plan(start), result);
    scheduler.Commit(absl::OkStatus(), result, start);
  }
  for (auto _ : state) {
    const StepPlan& plan = scheduler.Plan(start);
    state.PauseTiming();
    Answer(plan, result);
    state.ResumeTiming();
    scheduler.Commit(absl::OkStatus(), result, start);
  }
  state.counters["waiting"] = scheduler.Stats().waiting_requests;
}
// Few iterations: the contexts grow by a token in each.
BENCHMARK(PlanAndCommit)
    ->Args({64, 1000})
    ->Args({64, 10000})
    ->Args({512, 10000})
    ->Iterations(2000)
    ->Unit(benchmark::kMicrosecond);

}  // namespace
}  // namespace hocket

BENCHMARK_MAIN();
