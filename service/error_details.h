// An error as google.rpc.Status, which clients of every language can read: gRPC carries it in the
// trailer `grpc-status-details-bin`. Pure; any thread.
#ifndef HOCKET_SERVICE_ERROR_DETAILS_H_
#define HOCKET_SERVICE_ERROR_DETAILS_H_

#include <string>

#include "absl/status/status.h"
#include "absl/strings/string_view.h"

namespace hocket {

// Clients take 8 KiB of trailers by default, base64 and what else they hold included.
inline constexpr size_t kMaxErrorMessageBytes = 768;

// What can be sent of a message: at most kMaxErrorMessageBytes of valid UTF-8, whatever the
// client's words in it are.
std::string SendableMessage(absl::string_view message);

// Serialized google.rpc.Status of an error: always ErrorInfo (the reason, the domain "hocket", the
// metadata); BadRequest where the error is about a field; RetryInfo where it says when to try
// again; QuotaFailure where it is a tenant's limit. `code`: gRPC's number.
std::string ErrorDetails(const absl::Status& status, int code);

}  // namespace hocket

#endif  // HOCKET_SERVICE_ERROR_DETAILS_H_
