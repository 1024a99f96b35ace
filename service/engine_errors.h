// What the engine says against a request, as the client is told it: with a reason. Pure; any
// thread.
#ifndef HOCKET_SERVICE_ENGINE_ERRORS_H_
#define HOCKET_SERVICE_ENGINE_ERRORS_H_

#include "absl/status/status.h"
#include "absl/strings/string_view.h"
#include "scheduler/request.h"

namespace hocket {

// Of what Engine::Submit returned for a request of `tenant`. OK stays OK.
absl::Status SubmitError(const absl::Status& status, absl::string_view tenant);

// How a call ends whose request ended so; OK for a natural end. `constrained`: its text had to
// match a constraint.
absl::Status EndError(const FinishedEvent& finished, bool constrained);

}  // namespace hocket

#endif  // HOCKET_SERVICE_ENGINE_ERRORS_H_
