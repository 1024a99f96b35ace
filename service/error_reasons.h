// Why a call failed, as a program can tell it: each error has a reason with a stable name, finer
// than its gRPC code. One table says what a reason is; docs/api.md repeats it, held equal by a
// test. Below the gRPC surface a reason travels as a payload of an absl::Status. Pure; any thread.
#ifndef HOCKET_SERVICE_ERROR_REASONS_H_
#define HOCKET_SERVICE_ERROR_REASONS_H_

#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/strings/string_view.h"
#include "absl/types/span.h"

namespace hocket {

// A new one needs its row in error_reasons.cc, in docs/api.md, and a case in
// tests/e2e/test_errors.py that provokes it.
enum class ErrorReason {
  kInvalidField,
  kInvalidMetadata,
  kUnknownField,
  kMalformedMessage,
  kPromptTooLong,
  kFieldNotImplemented,
  kModelNotFound,
  kRequestIdInUse,
  kNoChatTemplate,
  kConstraintFailed,
  kKeyMissing,
  kKeyUnknown,
  kScopeMissing,
  kPriorityNotAllowed,
  kRequestTooLarge,
  kQueueFull,
  kTenantLimit,
  kTextQueueFull,
  kTooManyReaders,
  kSlowReader,
  kSlowSender,
  kDraining,
  kShutdown,
  kDeadlinePassed,
  kDeadlinePredicted,
  kCancelled,
  kInternal,
};

struct ErrorReasonRow {
  ErrorReason reason;
  absl::string_view name;  // Stable: "QUEUE_FULL".
  absl::StatusCode code;
  absl::string_view meaning;
  absl::string_view advice;  // What the client can do.
};

// One row each, in the order of the enumeration.
absl::Span<const ErrorReasonRow> ErrorReasons();
const ErrorReasonRow& RowOf(ErrorReason reason);

// An error of the reason's code.
absl::Status ReasonError(ErrorReason reason, absl::string_view message);

// The same status with this reason, in place of any that it had. OK stays OK.
absl::Status WithReason(absl::Status status, ErrorReason reason);

// None where none was given.
std::optional<ErrorReason> ReasonOf(const absl::Status& status);

// The reason given, else the first of the table with the status's code, else kInternal. Not for OK.
ErrorReason ReasonOrFallback(const absl::Status& status);

// What the reason is about: `key` is lower case ("field", "limit", "model", "value"). A client
// finds the pairs in ErrorInfo.metadata. A second value of a key replaces the first.
absl::Status WithMetadata(absl::Status status, absl::string_view key, absl::string_view value);
std::vector<std::pair<std::string, std::string>> MetadataOf(const absl::Status& status);  // By key.

// Keys of WithMetadata that more than one place uses.
inline constexpr absl::string_view kFieldKey = "field";  // Path from the request: "sampling.top_p".
inline constexpr absl::string_view kLimitKey = "limit";  // The name of the limit that was met.
inline constexpr absl::string_view kModelKey = "model";
inline constexpr absl::string_view kTenantKey = "tenant";

}  // namespace hocket

#endif  // HOCKET_SERVICE_ERROR_REASONS_H_
