// Runs one model: a thread of its own repeats Plan, Execute, Commit while there is work. Submit,
// Cancel, Drain, SetAdmission and Stats may be called from any thread; sinks and the observer are
// called on the engine thread.
#ifndef HOCKET_SCHEDULER_ENGINE_H_
#define HOCKET_SCHEDULER_ENGINE_H_

#include <cstdint>
#include <functional>
#include <memory>
#include <string>

#include "absl/status/status.h"
#include "absl/time/clock.h"
#include "absl/time/time.h"
#include "scheduler/admission_gate.h"
#include "scheduler/plan_trace.h"
#include "scheduler/request.h"
#include "scheduler/scheduler.h"
#include "scheduler/step.h"

namespace hocket {

// One executed step, for metrics.
struct StepObservation {
  int32_t decode_rows = 0;
  int32_t prefill_rows = 0;
  int32_t prefill_tokens = 0;
  absl::Duration duration;  // Plan, Execute and Commit together.
  absl::Duration execute;
  double predicted_seconds = 0;  // Of `execute`, before it; 0 while nothing is known.
  StepTimings timings;
  SchedulerStats stats;  // After Commit.
};

class EngineObserver {
 public:
  virtual ~EngineObserver() = default;
  virtual void OnStep(const StepObservation& observation) = 0;
};

class Engine {
 public:
  // `executor` and `observer` (may be null) must outlive the engine; `settings` must be valid. The
  // thread starts at once. `clock` is read on any thread. `trace` (may be null) is told every
  // decision; it must outlive the engine.
  Engine(const SchedulerSettings& settings, Executor* executor, EngineObserver* observer,
         std::function<absl::Time()> clock = absl::Now, PlanTraceWriter* trace = nullptr);

  // Stops the thread after the step in hand; requests still held end with kShutdown.
  ~Engine();
  Engine(const Engine&) = delete;
  Engine& operator=(const Engine&) = delete;

  // Admits the request or says at once why not: RESOURCE_EXHAUSTED (a limit of the waiting line or
  // the tenant, named by RefusalOf; or it can never fit), INVALID_ARGUMENT (over the context),
  // ALREADY_EXISTS (id in use), UNAVAILABLE (draining). After OK the sink hears OnFinished exactly
  // once. `limits`: of the request's tenant, where it has its own.
  absl::Status Submit(Request request, const TenantLimits& limits = {});

  // About when a request refused so may be taken: as places in the line have come free of late.
  absl::Duration RetryDelay(Refusal refusal) const;

  // Whether a request of this size can ever run; otherwise the error that Submit would give.
  absl::Status CheckFits(int64_t prompt_tokens, int64_t max_new_tokens, int64_t choices = 1,
                         bool rolls = false) const;

  // Ends a request within one step. False when no such request is held.
  bool Cancel(const std::string& request_id);

  // Refuses new requests from now on, waits until those held have ended or `deadline` has passed,
  // ends the rest with kShutdown, and returns how many those were.
  int Drain(absl::Time deadline);

  // From now on; who waits already is not sent away. `limits` must be valid.
  void SetAdmission(const AdmissionLimits& limits);

  SchedulerStats Stats() const;
  absl::Time LastProgress() const;  // When a step last ended, or the engine was last idle.

 private:
  class Loop;
  std::unique_ptr<Loop> loop_;
};

}  // namespace hocket

#endif  // HOCKET_SCHEDULER_ENGINE_H_
