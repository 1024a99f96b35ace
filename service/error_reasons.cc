#include "service/error_reasons.h"

#include <algorithm>
#include <array>

#include "absl/strings/cord.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/strip.h"

namespace hocket {
namespace {

using Code = absl::StatusCode;

constexpr absl::string_view kReasonUrl = "hocket/reason";
constexpr absl::string_view kMetadataUrl = "hocket/metadata/";

// The first row of a code is what an error of that code is taken for that names no reason.
constexpr std::array<ErrorReasonRow, 27> kTable = {{
    {ErrorReason::kInvalidField, "INVALID_FIELD", Code::kInvalidArgument,
     "a field's value is out of its range or contradicts another's", "mend the request"},
    {ErrorReason::kInvalidMetadata, "INVALID_METADATA", Code::kInvalidArgument,
     "an entry of the call's metadata is wrong", "mend the metadata"},
    {ErrorReason::kUnknownField, "UNKNOWN_FIELD", Code::kInvalidArgument,
     "the request has a field that this server does not know",
     "leave it out, or call a newer server"},
    {ErrorReason::kMalformedMessage, "MALFORMED_MESSAGE", Code::kInvalidArgument,
     "the message is not a valid Protobuf message, or a text in it is not UTF-8",
     "mend the client"},
    {ErrorReason::kPromptTooLong, "PROMPT_TOO_LONG", Code::kInvalidArgument,
     "prompt and answer do not fit the model's context, or the input has more bytes than the "
     "server "
     "takes",
     "shorten the prompt, ask for fewer tokens, or set `context.policy`"},
    {ErrorReason::kFieldNotImplemented, "FIELD_NOT_IMPLEMENTED", Code::kUnimplemented,
     "a field of the contract that this version does not serve yet", "leave it out"},
    {ErrorReason::kModelNotFound, "MODEL_NOT_FOUND", Code::kNotFound, "no model of this name",
     "take a name from `ListModels`"},
    {ErrorReason::kRequestIdInUse, "REQUEST_ID_IN_USE", Code::kAlreadyExists,
     "another request has this id", "take another id"},
    {ErrorReason::kNoChatTemplate, "NO_CHAT_TEMPLATE", Code::kFailedPrecondition,
     "chat input, and the model has no chat template", "send text"},
    {ErrorReason::kConstraintFailed, "CONSTRAINT_FAILED", Code::kFailedPrecondition,
     "the text came to where its constraint cannot be followed: it grew too complex there, or does "
     "not "
     "allow the resumed tokens",
     "simplify the constraint"},
    {ErrorReason::kKeyMissing, "KEY_MISSING", Code::kUnauthenticated,
     "the server wants an API key, and the call has none", "send the key"},
    {ErrorReason::kKeyUnknown, "KEY_UNKNOWN", Code::kUnauthenticated,
     "the server does not know this API key", "ask the operator for a key"},
    {ErrorReason::kScopeMissing, "SCOPE_MISSING", Code::kPermissionDenied,
     "the caller may not call this method", "use a key that may"},
    {ErrorReason::kPriorityNotAllowed, "PRIORITY_NOT_ALLOWED", Code::kPermissionDenied,
     "the caller may not name this priority class", "name a lower class, or none"},
    {ErrorReason::kRequestTooLarge, "REQUEST_TOO_LARGE", Code::kResourceExhausted,
     "the request needs more memory or sequences than the server has at all",
     "ask for less; waiting does not help"},
    {ErrorReason::kQueueFull, "QUEUE_FULL", Code::kResourceExhausted,
     "as many requests or prompt tokens wait as may", "try again after the given time"},
    {ErrorReason::kTenantLimit, "TENANT_LIMIT", Code::kResourceExhausted,
     "the tenant has as many requests or prompt tokens here as it may",
     "try again after the given time"},
    {ErrorReason::kTextQueueFull, "TEXT_QUEUE_FULL", Code::kResourceExhausted,
     "as many requests wait to be tokenized as may", "try again after the given time"},
    {ErrorReason::kTooManyReaders, "TOO_MANY_READERS", Code::kResourceExhausted,
     "as many calls read this request as may", "read it with one of them"},
    {ErrorReason::kSlowReader, "SLOW_READER", Code::kResourceExhausted,
     "the client did not take its answer for too long", "read faster, and resume"},
    {ErrorReason::kSlowSender, "SLOW_SENDER", Code::kResourceExhausted,
     "the call's message did not come whole in time", "send faster, or less at once"},
    {ErrorReason::kDraining, "DRAINING", Code::kUnavailable, "the server takes no more requests",
     "try another replica"},
    {ErrorReason::kShutdown, "SHUTDOWN", Code::kUnavailable,
     "the server stopped before the answer was whole", "resume at another replica"},
    {ErrorReason::kDeadlinePassed, "DEADLINE_PASSED", Code::kDeadlineExceeded,
     "the call's own deadline passed", "allow more time"},
    {ErrorReason::kDeadlinePredicted, "DEADLINE_PREDICTED", Code::kDeadlineExceeded,
     "the deadline would pass before the first token, by prediction",
     "allow more time, or try another replica"},
    {ErrorReason::kCancelled, "CANCELLED", Code::kCancelled, "the client or `Cancel` ended it",
     "nothing"},
    {ErrorReason::kInternal, "INTERNAL", Code::kInternal, "a defect; the request alone failed",
     "report it with the request id"},
}};

std::optional<std::string> PayloadText(const absl::Status& status, absl::string_view url) {
  const absl::optional<absl::Cord> payload = status.GetPayload(url);
  if (!payload) return std::nullopt;
  return std::string(*payload);
}

}  // namespace

absl::Span<const ErrorReasonRow> ErrorReasons() { return kTable; }

const ErrorReasonRow& RowOf(ErrorReason reason) { return kTable[static_cast<size_t>(reason)]; }

absl::Status ReasonError(ErrorReason reason, absl::string_view message) {
  return WithReason(absl::Status(RowOf(reason).code, message), reason);
}

absl::Status WithReason(absl::Status status, ErrorReason reason) {
  status.SetPayload(kReasonUrl, absl::Cord(RowOf(reason).name));
  return status;
}

std::optional<ErrorReason> ReasonOf(const absl::Status& status) {
  const std::optional<std::string> name = PayloadText(status, kReasonUrl);
  if (!name) return std::nullopt;
  for (const ErrorReasonRow& row : kTable) {
    if (row.name == *name) return row.reason;
  }
  return std::nullopt;
}

ErrorReason ReasonOrFallback(const absl::Status& status) {
  if (const std::optional<ErrorReason> reason = ReasonOf(status)) return *reason;
  for (const ErrorReasonRow& row : kTable) {
    if (row.code == status.code()) return row.reason;
  }
  return ErrorReason::kInternal;
}

absl::Status WithMetadata(absl::Status status, absl::string_view key, absl::string_view value) {
  status.SetPayload(absl::StrCat(kMetadataUrl, key), absl::Cord(value));
  return status;
}

std::vector<std::pair<std::string, std::string>> MetadataOf(const absl::Status& status) {
  std::vector<std::pair<std::string, std::string>> pairs;
  status.ForEachPayload([&pairs](absl::string_view url, const absl::Cord& value) {
    if (absl::ConsumePrefix(&url, kMetadataUrl)) {
      pairs.emplace_back(std::string(url), std::string(value));
    }
  });
  std::sort(pairs.begin(), pairs.end());
  return pairs;
}

}  // namespace hocket
