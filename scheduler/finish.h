// How a request's end is said: a Finish for a reason, and the status that goes with it. Pure; any
// thread.
#ifndef HOCKET_SCHEDULER_FINISH_H_
#define HOCKET_SCHEDULER_FINISH_H_

#include "absl/status/status.h"
#include "absl/strings/cord.h"
#include "absl/strings/string_view.h"
#include "scheduler/step.h"

namespace hocket {

inline Finish FinishWith(FinishReason reason) {
  Finish finish;
  finish.reason = reason;
  return finish;
}

// OK for a natural end.
inline absl::Status StatusOf(FinishReason reason) {
  switch (reason) {
    case FinishReason::kCancelled:
      return absl::CancelledError("the request was cancelled");
    case FinishReason::kDeadline:
      return absl::DeadlineExceededError("the request's deadline passed");
    case FinishReason::kShutdown:
      return absl::UnavailableError("the server is shutting down");
    case FinishReason::kError:
      return absl::InternalError("the request failed");
    default:
      return absl::OkStatus();
  }
}

inline constexpr char kPredictedUrl[] = "hocket/deadline-predicted";

// The deadline has not passed, but would before the first token.
inline absl::Status DeadlinePredicted(absl::string_view message) {
  absl::Status status = absl::DeadlineExceededError(message);
  status.SetPayload(kPredictedUrl, absl::Cord());
  return status;
}

inline bool IsDeadlinePredicted(const absl::Status& status) {
  return status.GetPayload(kPredictedUrl).has_value();
}

}  // namespace hocket

#endif  // HOCKET_SCHEDULER_FINISH_H_
