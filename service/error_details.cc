#include "service/error_details.h"

#include <google/protobuf/stubs/common.h>

#include <optional>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/strings/strip.h"
#include "absl/time/time.h"
#include "google/rpc/error_details.pb.h"
#include "google/rpc/status.pb.h"
#include "service/error_reasons.h"
#include "service/status.h"

namespace hocket {
namespace {

constexpr char kDomain[] = "hocket";
constexpr size_t kMaxMetadataBytes = 256;  // Of one value.

// At most `max_bytes` of valid UTF-8; what is not becomes question marks.
std::string Sendable(absl::string_view text, size_t max_bytes) {
  constexpr absl::string_view kCut = "...";
  const bool cut = text.size() > max_bytes;
  std::string bytes(cut ? text.substr(0, max_bytes - kCut.size()) : text);
  std::string room = bytes;
  const char* valid = google::protobuf::internal::UTF8CoerceToStructurallyValid(
      {bytes.data(), bytes.size()}, room.data(), '?');
  return absl::StrCat(absl::string_view(valid, bytes.size()), cut ? kCut : "");
}

void AddBadRequest(const std::string& field, absl::string_view message,
                   google::rpc::Status& details) {
  absl::ConsumePrefix(&message, absl::StrCat(field, ": "));
  google::rpc::BadRequest bad;
  bad.add_field_violations()->set_field(field);
  bad.mutable_field_violations(0)->set_description(std::string(message));
  details.add_details()->PackFrom(bad);
}

void AddRetry(absl::Duration delay, google::rpc::Status& details) {
  google::rpc::RetryInfo retry;
  retry.mutable_retry_delay()->set_seconds(absl::ToInt64Seconds(delay));
  retry.mutable_retry_delay()->set_nanos(
      static_cast<int32_t>(absl::ToInt64Nanoseconds(delay % absl::Seconds(1))));
  details.add_details()->PackFrom(retry);
}

}  // namespace

std::string SendableMessage(absl::string_view message) {
  return Sendable(message, kMaxErrorMessageBytes);
}

std::string ErrorDetails(const absl::Status& status, int code) {
  google::rpc::Status details;
  details.set_code(code);
  details.set_message(SendableMessage(status.message()));

  const ErrorReason reason = ReasonOrFallback(status);
  google::rpc::ErrorInfo info;
  info.set_reason(std::string(RowOf(reason).name));
  info.set_domain(kDomain);
  for (const auto& [key, value] : MetadataOf(status)) {
    (*info.mutable_metadata())[key] = Sendable(value, kMaxMetadataBytes);
  }
  details.add_details()->PackFrom(info);

  const auto field = info.metadata().find(std::string(kFieldKey));
  if (field != info.metadata().end() && status.code() == absl::StatusCode::kInvalidArgument) {
    AddBadRequest(field->second, details.message(), details);
  }
  if (const std::optional<absl::Duration> delay = RetryAfter(status)) AddRetry(*delay, details);
  if (reason == ErrorReason::kTenantLimit) {
    const auto tenant = info.metadata().find(std::string(kTenantKey));
    google::rpc::QuotaFailure quota;
    quota.add_violations()->set_subject(
        absl::StrCat("tenant:", tenant == info.metadata().end() ? "" : tenant->second));
    quota.mutable_violations(0)->set_description(details.message());
    details.add_details()->PackFrom(quota);
  }
  return details.SerializeAsString();
}

}  // namespace hocket
