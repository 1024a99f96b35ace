#include "service/engine_errors.h"

#include <optional>
#include <string>

#include "scheduler/admission_gate.h"
#include "scheduler/finish.h"
#include "service/error_reasons.h"
#include "service/field_checks.h"

namespace hocket {
namespace {

bool IsOfTenant(Refusal refusal) {
  return refusal != Refusal::kWaitingRequests && refusal != Refusal::kWaitingTokens;
}

// Of a request that failed in a step. Only what is about the request keeps its code; all else is a
// defect.
absl::Status StepError(const absl::Status& status, bool constrained) {
  if (absl::IsInvalidArgument(status)) return AboutItsField(status);
  if (constrained && absl::IsFailedPrecondition(status)) {
    return WithMetadata(WithReason(status, ErrorReason::kConstraintFailed), kFieldKey,
                        "constraint");
  }
  return ReasonError(ErrorReason::kInternal, status.message());
}

}  // namespace

absl::Status SubmitError(const absl::Status& status, absl::string_view tenant) {
  if (const std::optional<Refusal> refusal = RefusalOf(status)) {
    const absl::Status limited =
        WithMetadata(status, kLimitKey, std::string(RefusalName(*refusal)));
    if (!IsOfTenant(*refusal)) return WithReason(limited, ErrorReason::kQueueFull);
    return WithMetadata(WithReason(limited, ErrorReason::kTenantLimit), kTenantKey, tenant);
  }
  switch (status.code()) {
    case absl::StatusCode::kInvalidArgument:
      return WithReason(status, ErrorReason::kPromptTooLong);
    case absl::StatusCode::kResourceExhausted:
      return WithReason(status, ErrorReason::kRequestTooLarge);
    case absl::StatusCode::kAlreadyExists:
      return WithReason(status, ErrorReason::kRequestIdInUse);
    case absl::StatusCode::kUnavailable:
      return WithReason(status, ErrorReason::kDraining);
    default:
      return status;
  }
}

absl::Status EndError(const FinishedEvent& finished, bool constrained) {
  const absl::Status& status = finished.status;
  // The engine gives a status with these; a call must not end OK with an answer cut short.
  const absl::string_view message = status.message();
  switch (finished.finish.reason) {
    case FinishReason::kCancelled:
      return ReasonError(ErrorReason::kCancelled,
                         status.ok() ? "the request was cancelled" : message);
    case FinishReason::kDeadline:
      return ReasonError(IsDeadlinePredicted(status) ? ErrorReason::kDeadlinePredicted
                                                     : ErrorReason::kDeadlinePassed,
                         status.ok() ? "the call's deadline passed" : message);
    case FinishReason::kShutdown:
      return ReasonError(
          ErrorReason::kShutdown,
          status.ok() ? "the server stopped before the request was finished" : message);
    case FinishReason::kError:
      return StepError(status.ok() ? absl::InternalError("the request failed") : status,
                       constrained);
    default:
      return status.ok() ? absl::OkStatus() : StepError(status, constrained);
  }
}

}  // namespace hocket
