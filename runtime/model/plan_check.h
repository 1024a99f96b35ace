// Checks a plan's ids, positions and blocks before a step writes anything. Pure; any thread.
#ifndef HOCKET_RUNTIME_MODEL_PLAN_CHECK_H_
#define HOCKET_RUNTIME_MODEL_PLAN_CHECK_H_

#include <cstdint>
#include <span>

#include "absl/status/status.h"
#include "scheduler/step.h"

namespace hocket {

struct PlanLimits {
  int32_t vocabulary_size = 0;
  int32_t max_context_tokens = 0;
  int32_t max_step_tokens = 0;
  int32_t block_tokens = 0;
  int32_t blocks = 0;
};

// INVALID_ARGUMENT naming the first thing out of range, its value and the range. The rows' tokens
// must follow one another and cover plan.tokens.
absl::Status CheckPlan(const PlanLimits& limits, const StepPlan& plan,
                       std::span<const int32_t> outputs);

}  // namespace hocket

#endif  // HOCKET_RUNTIME_MODEL_PLAN_CHECK_H_
