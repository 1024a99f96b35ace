// Decides what each step computes: the pure, deterministic core. It has no clock, no thread and no
// I/O; the caller passes the time. Owned and called by the engine thread only.
#ifndef HOCKET_SCHEDULER_SCHEDULER_H_
#define HOCKET_SCHEDULER_SCHEDULER_H_

#include <cstdint>
#include <memory>
#include <string_view>
#include <vector>

#include "absl/status/status.h"
#include "absl/time/time.h"
#include "scheduler/admission_gate.h"
#include "scheduler/prefix_cache.h"
#include "scheduler/request.h"
#include "scheduler/step.h"
#include "scheduler/step_time_model.h"

namespace hocket {

struct SchedulerSettings {
  int32_t total_blocks = 0;   // KV blocks that the executor has; ids 0 .. total_blocks - 1.
  int32_t block_tokens = 16;  // KV positions in a block.
  int32_t max_running_sequences = 64;
  int32_t max_step_tokens = 512;   // Tokens computed in a step: decode rows and prefill chunks.
  int32_t max_context_tokens = 0;  // Prompt and generated tokens of one sequence.
  AdmissionLimits admission;       // Kept by the engine, for whom Submit has to answer at once.
  bool prefix_cache = true;        // Computed blocks are kept while nobody else needs the room.
  // While sequences decode, a step gets only as much prefill as is predicted to keep it within this
  // time, and at least kPrefillGrain tokens. Zero: only max_step_tokens bounds it.
  absl::Duration target_inter_token;
  std::vector<MeasuredStep> measured_steps;  // Before the first of its own, to predict from.

  absl::Status Validate() const;
};

// Chunks that are cut for the step's time are multiples of this.
inline constexpr int32_t kPrefillGrain = 16;

struct SchedulerStats {
  int32_t running_sequences = 0;
  int32_t running_requests = 0;  // Whose sequences those are.
  int32_t waiting_requests = 0;
  int32_t preempted_requests = 0;  // Of those waiting, the ones that ran before.
  int32_t used_blocks = 0;         // By sequences.
  int32_t cached_blocks = 0;       // By the prefix cache alone: they can be had at once.
  int32_t total_blocks = 0;
  // Since the start.
  int64_t preemptions = 0;
  int64_t recomputed_tokens = 0;      // Computed again after a preemption.
  int64_t draft_tokens = 0;           // Guessed,
  int64_t accepted_draft_tokens = 0;  // and of those, drawn.
  PrefixCacheStats prefix_cache;
};

// The last plan's rows by kind, for metrics: a decode row computes only the token drawn last; all
// others are prefill, a preempted sequence's recomputed tokens included.
struct PlanShape {
  StepLoad load;  // Drafts count as prefill tokens.
  int32_t draft_tokens = 0;
  int32_t prefill_rows = 0;
  double predicted_seconds = 0;  // 0 until the model is fitted, and without rows.
};

class Scheduler {
 public:
  explicit Scheduler(const SchedulerSettings& settings);  // `settings` must be valid.
  ~Scheduler();
  Scheduler(const Scheduler&) = delete;
  Scheduler& operator=(const Scheduler&) = delete;

  // Whether a request of this size can ever run; INVALID_ARGUMENT (prompt over the context) or
  // RESOURCE_EXHAUSTED (more sequences than run at once, more blocks than exist) with the numbers
  // otherwise. Several choices share the prompt's full blocks, unless a context that rolls may
  // forget them. Const and thread-safe.
  absl::Status CheckFits(int64_t prompt_tokens, int64_t max_new_tokens, int64_t choices = 1,
                         bool rolls = false) const;

  // Puts a request in the waiting line. ALREADY_EXISTS when a request of the same id is held, or
  // CheckFits' error; the sink then hears nothing. How many may wait is the caller's to bound.
  absl::Status Add(Request request, absl::Time now);

  // Marks a request ended; its sink hears OnFinished and its blocks are back before the next plan.
  // False when no such request is held.
  bool Cancel(std::string_view request_id, FinishReason reason, absl::Time now);

  // Marks every request ended, and returns how many those were.
  int EndAll(FinishReason reason, absl::Time now);

  // Ends what has passed its deadline and newcomers that are predicted to, then plans the next
  // step. The plan has no rows when nothing can run (it may then still list `ends`). Each plan must
  // be committed before the next.
  const StepPlan& Plan(absl::Time now);

  // Applies the result of the last plan: moves sequences on, frees blocks and tells the sinks.
  // `status` not OK: the whole step failed, and its rows' requests end with kError. `executed` is
  // how long computing it took; zero where nobody measured it.
  void Commit(const absl::Status& status, StepResult& result, absl::Time now,
              absl::Duration executed = absl::ZeroDuration());

  bool HasWork() const;  // Some request waits or runs, or sequence ends are
                         // still to be planned.
  SchedulerStats Stats() const;
  PlanShape LastPlanShape() const;
  absl::Time NextDeadline() const;  // The earliest of all requests'; InfiniteFuture when none.

  // Aborts with a message if an invariant is broken (blocks lost or doubly owned, counts off). For
  // tests and the simulator; linear in all state.
  void CheckInvariants() const;

 private:
  class Core;
  std::unique_ptr<Core> core_;
};

}  // namespace hocket

#endif  // HOCKET_SCHEDULER_SCHEDULER_H_
