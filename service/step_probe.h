// Measures, before a model serves anybody, what its steps take: a few small ones on the executor
// itself, so that the scheduler can predict from its first step on, and from which the default
// target between tokens follows. Main thread, before the engine has the executor.
#ifndef HOCKET_SERVICE_STEP_PROBE_H_
#define HOCKET_SERVICE_STEP_PROBE_H_

#include <vector>

#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "scheduler/scheduler.h"
#include "scheduler/step.h"

namespace hocket {

struct StepProbe {
  std::vector<MeasuredStep> steps;
  absl::Duration decode_step;  // Of eight sequences, or as many as may run; the fastest of several.
};

// Leaves no sequence behind; what it writes to KV blocks is overwritten by their first users.
absl::StatusOr<StepProbe> ProbeSteps(const SchedulerSettings& settings, Executor* executor);

// While a prompt is computed beside them, eight streams get a token in the time of about six plain
// decode steps: five sixths of the machine then work on the prompt, which comes hardly later than
// with steps as long as they can be. Between 60 ms, faster than anybody reads, and a second.
absl::Duration DefaultTarget(const StepProbe& probe);

}  // namespace hocket

#endif  // HOCKET_SERVICE_STEP_PROBE_H_
