// Words for the values of step.h: names of finish reasons, and plans as text for logs and tests.
// Free of state; any thread.
#ifndef HOCKET_SCHEDULER_STEP_TEXT_H_
#define HOCKET_SCHEDULER_STEP_TEXT_H_

#include <string>
#include <string_view>

#include "scheduler/step.h"

namespace hocket {

std::string_view FinishReasonName(FinishReason reason);  // "stop_token", "length", ...

// All of a plan on one line: equal texts are equal plans (specs and prompts left out). Tokens of a
// row are in brackets, drafts after a bar; its blocks in braces; '*' marks a row that samples, and
// forgotten tokens are added to its position:
//   "step 3 ends 1 starts 4/2 of 2 copies 2>7 row 2@9+30*[5|6,7]{0,3} row 4@0[11,12]{1}"
std::string PlanText(const StepPlan& plan);

}  // namespace hocket

#endif  // HOCKET_SCHEDULER_STEP_TEXT_H_
