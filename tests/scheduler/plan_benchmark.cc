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

// Guesses come true; beams go on by twos from every second one.
void Answer(const StepPlan& plan, bool beams, StepResult& result) {
  result.outcomes.resize(plan.rows.size());
  for (size_t i = 0; i < plan.rows.size(); ++i) {
    const PlanRow& row = plan.rows[i];
    Outcome& outcome = result.outcomes[i];
    outcome = Outcome();
    outcome.sequence = row.sequence;
    if (!row.samples) continue;
    if (beams) {
      outcome.move = BeamMove{.parent = static_cast<int32_t>(i % 8 / 2 * 2), .token = 7};
      continue;
    }
    const std::span<const TokenId> drafts = plan.RowTokens(row).last(row.draft_tokens);
    outcome.tokens.assign(drafts.begin(), drafts.end());
    outcome.tokens.push_back(7);
  }
}

// Requests of `choices` sequences each, so many sequences running and so many requests waiting.
void PlanAndCommit(benchmark::State& state, int32_t choices, bool beams, int32_t drafts) {
  const int32_t running = static_cast<int32_t>(state.range(0));
  const int32_t waiting = static_cast<int32_t>(state.range(1));
  SchedulerSettings settings;
  settings.total_blocks = 1 << 20;
  settings.max_running_sequences = running;
  settings.max_step_tokens = 512;
  settings.max_context_tokens = 1 << 24;
  Scheduler scheduler(settings);
  const absl::Time start = absl::UnixEpoch();
  for (int32_t i = 0; i < running / choices + waiting; ++i) {
    RecordedRequest recorded({.id = std::to_string(i),
                              .prompt = PromptOf(500),
                              .max_new_tokens = 1 << 16,
                              .deadline = start + absl::Hours(1 + i),
                              .choices = choices,
                              .told_beams = beams ? 1 : 0,
                              .max_draft_tokens = drafts});
    recorded.request.sink = std::make_shared<SilentSink>();
    if (!scheduler.Add(recorded.Copy(), start).ok()) state.SkipWithError("not admitted");
  }
  StepResult result;
  while (scheduler.LastPlanShape().load.decode_rows < running) {
    Answer(scheduler.Plan(start), beams, result);
    scheduler.Commit(absl::OkStatus(), result, start);
  }
  for (auto _ : state) {
    const StepPlan& plan = scheduler.Plan(start);
    state.PauseTiming();
    Answer(plan, beams, result);
    state.ResumeTiming();
    scheduler.Commit(absl::OkStatus(), result, start);
  }
  state.counters["waiting"] = scheduler.Stats().waiting_requests;
}
// Few iterations: the contexts grow by a token in each.
BENCHMARK_CAPTURE(PlanAndCommit, singles, 1, false, 0)
    ->Args({64, 1000})
    ->Args({64, 10000})
    ->Args({512, 10000})
    ->Iterations(2000)
    ->Unit(benchmark::kMicrosecond);
BENCHMARK_CAPTURE(PlanAndCommit, choices_of_8, 8, false, 0)
    ->Args({64, 1000})
    ->Args({512, 10000})
    ->Iterations(2000)
    ->Unit(benchmark::kMicrosecond);
BENCHMARK_CAPTURE(PlanAndCommit, beams_of_8, 8, true, 0)
    ->Args({64, 1000})
    ->Args({512, 10000})
    ->Iterations(1000)
    ->Unit(benchmark::kMicrosecond);
BENCHMARK_CAPTURE(PlanAndCommit, guesses_of_4, 1, false, 4)
    ->Args({64, 1000})
    ->Args({512, 10000})
    ->Iterations(1000)
    ->Unit(benchmark::kMicrosecond);

}  // namespace
}  // namespace hocket

BENCHMARK_MAIN();
