// The one place where absl::Status becomes grpc::Status. Pure; any thread.
#ifndef HOCKET_SERVICE_STATUS_H_
#define HOCKET_SERVICE_STATUS_H_

#include <grpcpp/support/status.h>

#include <optional>

#include "absl/status/status.h"
#include "absl/strings/string_view.h"
#include "absl/time/time.h"

namespace hocket {

// Same code, same message (as far as it can be sent), and the details of service/error_details.h,
// which gRPC sends in the trailer `grpc-status-details-bin`. Codes that only a bug can produce
// (UNKNOWN, OUT_OF_RANGE, DATA_LOSS, ...) become INTERNAL.
grpc::Status ToGrpcStatus(const absl::Status& status);

// The label of metrics and logs: "ok", "invalid_argument", ...
absl::string_view StatusLabel(const absl::Status& status);

// About the time in which a place in a full line comes free.
constexpr absl::Duration kRetryDelay = absl::Seconds(1);

// A refusal that is worth trying again after `delay`; the client finds the delay, in milliseconds,
// in the trailer `retry-after-ms`, and in RetryInfo.
absl::Status WithRetryAfter(absl::Status status, absl::Duration delay);
std::optional<absl::Duration> RetryAfter(const absl::Status& status);

}  // namespace hocket

#endif  // HOCKET_SERVICE_STATUS_H_
