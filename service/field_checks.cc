#include "service/field_checks.h"

#include <cmath>
#include <limits>
#include <string>

#include "absl/strings/ascii.h"
#include "absl/strings/str_cat.h"
#include "service/caller.h"
#include "service/control_characters.h"

namespace hocket {

absl::Status FieldError(absl::string_view path, absl::string_view what, ErrorReason reason) {
  return WithMetadata(ReasonError(reason, absl::StrCat(path, ": ", what)), kFieldKey, path);
}

absl::Status AboutItsField(const absl::Status& status) {
  const absl::string_view message = status.message();
  const size_t path_bytes = message.find(": ");
  if (path_bytes == absl::string_view::npos) return status;
  return WithMetadata(WithReason(status, ErrorReason::kInvalidField), kFieldKey,
                      message.substr(0, path_bytes));
}

absl::Status MetadataError(absl::string_view name, absl::string_view what) {
  const std::string field = absl::StrCat("metadata ", name);
  return FieldError(field, what, ErrorReason::kInvalidMetadata);
}

absl::Status NotImplemented(absl::string_view path, absl::string_view what) {
  const std::string more = what.empty() ? "" : absl::StrCat(" (", what, ")");
  return WithMetadata(ReasonError(ErrorReason::kFieldNotImplemented,
                                  absl::StrCat(path, ": not implemented yet", more)),
                      kFieldKey, path);
}

absl::Status CheckInt(absl::string_view path, int64_t value, int64_t low, int64_t high) {
  if (value >= low && value <= high) return absl::OkStatus();
  return FieldError(path, absl::StrCat(value, " is out of range [", low, ", ", high, "]"));
}

absl::Status CheckFloat(absl::string_view path, double value, double low, double high,
                        bool low_open) {
  const bool above = low_open ? value > low : value >= low;
  if (std::isfinite(value) && above && value <= high) return absl::OkStatus();
  const bool unbounded = high == std::numeric_limits<double>::infinity();
  return FieldError(path, absl::StrCat(value, " is out of range ", low_open ? "(" : "[", low, ", ",
                                       high, unbounded ? ")" : "]"));
}

absl::Status CheckSeconds(absl::string_view path, absl::Duration value, absl::Duration low,
                          absl::Duration high) {
  if (value >= low && value <= high) return absl::OkStatus();
  return FieldError(
      path, absl::StrCat(absl::ToDoubleSeconds(value), " is out of range [",
                         absl::ToDoubleSeconds(low), ", ", absl::ToDoubleSeconds(high), "]"));
}

absl::Status CheckCount(absl::string_view path, int64_t count, int64_t limit, ErrorReason reason) {
  if (count <= limit) return absl::OkStatus();
  return FieldError(path, absl::StrCat(count, " entries are more than the limit of ", limit),
                    reason);
}

absl::Status CheckTexts(absl::string_view path,
                        const google::protobuf::RepeatedPtrField<std::string>& texts, int64_t limit,
                        int64_t max_bytes) {
  absl::Status status = CheckCount(path, texts.size(), limit);
  for (int i = 0; status.ok() && i < texts.size(); ++i) {
    const std::string entry = absl::StrCat(path, "[", i, "]");
    const auto bytes = static_cast<int64_t>(texts[i].size());
    if (bytes == 0) status = FieldError(entry, "is empty");
    if (bytes > max_bytes) {
      status =
          FieldError(entry, absl::StrCat(bytes, " bytes are more than the limit of ", max_bytes));
    }
  }
  return status;
}

absl::Status CheckRequestId(absl::string_view id) {
  if (id.size() > kMaxRequestIdBytes) {
    return FieldError("request_id", absl::StrCat(id.size(), " bytes are more than the limit of ",
                                                 kMaxRequestIdBytes));
  }
  const size_t control = FindControl(id);
  if (control == absl::string_view::npos) return absl::OkStatus();
  return FieldError("request_id", absl::StrCat("has a control character at byte ", control));
}

absl::Status CheckTenant(absl::string_view tenant) {
  if (tenant.size() > kMaxTenantBytes) {
    return MetadataError(
        "hocket-tenant",
        absl::StrCat(tenant.size(), " bytes are more than the limit of ", kMaxTenantBytes));
  }
  for (size_t i = 0; i < tenant.size(); ++i) {
    if (absl::ascii_isprint(static_cast<unsigned char>(tenant[i]))) continue;
    return MetadataError("hocket-tenant", absl::StrCat("byte ", i, " is not printable ASCII"));
  }
  return absl::OkStatus();
}

absl::Status CheckTokens(absl::string_view path, absl::Span<const int32_t> tokens,
                         int32_t vocabulary_size) {
  for (size_t i = 0; i < tokens.size(); ++i) {
    if (tokens[i] >= 0 && tokens[i] < vocabulary_size) continue;
    return CheckInt(absl::StrCat(path, "[", i, "]"), tokens[i], 0, vocabulary_size - 1);
  }
  return absl::OkStatus();
}

}  // namespace hocket
