// A plan in few bytes: a digest of all that is in it but specs and prompts, and a line that shows
// its rows without their tokens and blocks. Pure; any thread.
#ifndef HOCKET_SCHEDULER_PLAN_DIGEST_H_
#define HOCKET_SCHEDULER_PLAN_DIGEST_H_

#include <cstdint>
#include <string>

#include "scheduler/step.h"

namespace hocket {

uint64_t PlanDigest(const StepPlan& plan);

// "step 3 ends 1 starts 4 copies 1 2@9+1* 4@0+2": sequence @ first position + tokens, '*' where it
// samples.
std::string PlanSummary(const StepPlan& plan);

}  // namespace hocket

#endif  // HOCKET_SCHEDULER_PLAN_DIGEST_H_
