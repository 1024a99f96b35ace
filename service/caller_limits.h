// What a caller may ask for, applied to a request that is valid in itself. Pure; any thread.
#ifndef HOCKET_SERVICE_CALLER_LIMITS_H_
#define HOCKET_SERVICE_CALLER_LIMITS_H_

#include "absl/status/statusor.h"
#include "hocket/v1/hocket.pb.h"
#include "service/caller.h"
#include "service/validate.h"

namespace hocket {

// With the caller's own default class where `request` names none; what it leaves unset stays within
// the caller's limits, and the echo says so. PERMISSION_DENIED for a class above the caller's
// highest, INVALID_ARGUMENT for more tokens than the caller may have. Errors pass through.
absl::StatusOr<ValidRequest> WithinLimits(const Caller& caller, const v1::GenerateRequest& request,
                                          absl::StatusOr<ValidRequest> valid);

// Of Score and Embed, which name no class.
absl::StatusOr<ValidRequest> WithinLimits(const Caller& caller, absl::StatusOr<ValidRequest> valid);

}  // namespace hocket

#endif  // HOCKET_SERVICE_CALLER_LIMITS_H_
