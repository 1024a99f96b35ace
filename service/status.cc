#include "service/status.h"

#include <array>
#include <string>

#include "absl/strings/cord.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "service/error_details.h"

namespace hocket {
namespace {

constexpr absl::string_view kRetryAfterUrl = "hocket/retry-after-ms";

struct Row {
  absl::StatusCode from;
  grpc::StatusCode to;
  absl::string_view label;
};

constexpr std::array<Row, 17> kTable = {{
    {absl::StatusCode::kOk, grpc::StatusCode::OK, "ok"},
    {absl::StatusCode::kCancelled, grpc::StatusCode::CANCELLED, "cancelled"},
    {absl::StatusCode::kUnknown, grpc::StatusCode::INTERNAL, "internal"},
    {absl::StatusCode::kInvalidArgument, grpc::StatusCode::INVALID_ARGUMENT, "invalid_argument"},
    {absl::StatusCode::kDeadlineExceeded, grpc::StatusCode::DEADLINE_EXCEEDED, "deadline_exceeded"},
    {absl::StatusCode::kNotFound, grpc::StatusCode::NOT_FOUND, "not_found"},
    {absl::StatusCode::kAlreadyExists, grpc::StatusCode::ALREADY_EXISTS, "already_exists"},
    {absl::StatusCode::kPermissionDenied, grpc::StatusCode::PERMISSION_DENIED, "permission_denied"},
    {absl::StatusCode::kResourceExhausted, grpc::StatusCode::RESOURCE_EXHAUSTED,
     "resource_exhausted"},
    {absl::StatusCode::kFailedPrecondition, grpc::StatusCode::FAILED_PRECONDITION,
     "failed_precondition"},
    {absl::StatusCode::kAborted, grpc::StatusCode::INTERNAL, "internal"},
    {absl::StatusCode::kOutOfRange, grpc::StatusCode::INTERNAL, "internal"},
    {absl::StatusCode::kUnimplemented, grpc::StatusCode::UNIMPLEMENTED, "unimplemented"},
    {absl::StatusCode::kInternal, grpc::StatusCode::INTERNAL, "internal"},
    {absl::StatusCode::kUnavailable, grpc::StatusCode::UNAVAILABLE, "unavailable"},
    {absl::StatusCode::kDataLoss, grpc::StatusCode::INTERNAL, "internal"},
    {absl::StatusCode::kUnauthenticated, grpc::StatusCode::UNAUTHENTICATED, "unauthenticated"},
}};

const Row& RowOf(absl::StatusCode code) {
  for (const Row& row : kTable) {
    if (row.from == code) return row;
  }
  return kTable[static_cast<size_t>(absl::StatusCode::kInternal)];
}

}  // namespace

grpc::Status ToGrpcStatus(const absl::Status& status) {
  if (status.ok()) return grpc::Status::OK;
  const grpc::StatusCode code = RowOf(status.code()).to;
  return grpc::Status(code, SendableMessage(status.message()), ErrorDetails(status, code));
}

absl::string_view StatusLabel(const absl::Status& status) { return RowOf(status.code()).label; }

absl::Status WithRetryAfter(absl::Status status, absl::Duration delay) {
  status.SetPayload(kRetryAfterUrl, absl::Cord(absl::StrCat(absl::ToInt64Milliseconds(delay))));
  return status;
}

std::optional<absl::Duration> RetryAfter(const absl::Status& status) {
  const absl::optional<absl::Cord> payload = status.GetPayload(kRetryAfterUrl);
  if (!payload) return std::nullopt;
  std::string text;
  absl::CopyCordToString(*payload, &text);
  int64_t milliseconds = 0;
  if (!absl::SimpleAtoi(text, &milliseconds)) return std::nullopt;
  return absl::Milliseconds(milliseconds);
}

}  // namespace hocket
