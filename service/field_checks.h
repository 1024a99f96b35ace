// How a wrong field is reported, and the checks of single values. Every message has the form
// `path: value is out of range [low, high]`, so that a client can find the field. Pure; any thread.
#ifndef HOCKET_SERVICE_FIELD_CHECKS_H_
#define HOCKET_SERVICE_FIELD_CHECKS_H_

#include <cstdint>
#include <string>

#include "absl/status/status.h"
#include "absl/strings/string_view.h"
#include "absl/time/time.h"
#include "absl/types/span.h"
#include "google/protobuf/repeated_field.h"
#include "service/error_reasons.h"

namespace hocket {

inline constexpr size_t kMaxRequestIdBytes = 128;

// INVALID_ARGUMENT `path: what`; `reason` is one of that code.
absl::Status FieldError(absl::string_view path, absl::string_view what,
                        ErrorReason reason = ErrorReason::kInvalidField);

// The same, of an error from below whose message has this form already.
absl::Status AboutItsField(const absl::Status& status);

// INVALID_METADATA `metadata name: what`.
absl::Status MetadataError(absl::string_view name, absl::string_view what);

// UNIMPLEMENTED `path: not implemented yet`, with ` (what)` where given.
absl::Status NotImplemented(absl::string_view path, absl::string_view what = "");

absl::Status CheckInt(absl::string_view path, int64_t value, int64_t low, int64_t high);

// `low_open`: low itself is not allowed. NaN and infinities never are.
absl::Status CheckFloat(absl::string_view path, double value, double low, double high,
                        bool low_open = false);

// A time, told in seconds.
absl::Status CheckSeconds(absl::string_view path, absl::Duration value, absl::Duration low,
                          absl::Duration high = absl::InfiniteDuration());

// At most `limit` entries.
absl::Status CheckCount(absl::string_view path, int64_t count, int64_t limit,
                        ErrorReason reason = ErrorReason::kInvalidField);

// A list of at most `limit` texts, none empty and each of at most `max_bytes` bytes.
absl::Status CheckTexts(absl::string_view path,
                        const google::protobuf::RepeatedPtrField<std::string>& texts, int64_t limit,
                        int64_t max_bytes);

// At most kMaxRequestIdBytes and no control character (control_characters.h): ids are read by
// people, in logs and lists. The field is `request_id`.
absl::Status CheckRequestId(absl::string_view id);

// At most kMaxTenantBytes of printable ASCII, which is what metadata can hold.
absl::Status CheckTenant(absl::string_view tenant);

// Each id in [0, vocabulary_size); names the entry, as `path[3]`.
absl::Status CheckTokens(absl::string_view path, absl::Span<const int32_t> tokens,
                         int32_t vocabulary_size);

}  // namespace hocket

#endif  // HOCKET_SERVICE_FIELD_CHECKS_H_
