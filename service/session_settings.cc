#include "service/session_settings.h"

#include "absl/strings/str_cat.h"
#include "absl/strings/string_view.h"
#include "service/field_checks.h"

namespace hocket {

absl::Status SessionSettings::Validate() const {
  const auto check = [](absl::string_view name, absl::Duration value, absl::Duration low,
                        absl::Duration high) {
    if (value >= low && value <= high) return absl::OkStatus();
    return absl::InvalidArgumentError(absl::StrCat(name, ": ", absl::ToDoubleSeconds(value),
                                                   " is out of range [", absl::ToDoubleSeconds(low),
                                                   ", ", absl::ToDoubleSeconds(high), "]"));
  };
  absl::Status status = check("retain_seconds", retain, absl::ZeroDuration(), absl::Hours(24));
  status.Update(
      check("slow_reader_seconds", slow_reader, absl::Milliseconds(100), absl::Hours(24)));
  constexpr int64_t kMostBytes = int64_t{1} << 40;
  status.Update(CheckInt("retain_bytes", retain_bytes, 0, kMostBytes));
  return status;
}

}  // namespace hocket
