#include "service/session_settings.h"

#include "service/field_checks.h"

namespace hocket {

absl::Status SessionSettings::Validate() const {
  absl::Status status =
      CheckSeconds("retain_seconds", retain, absl::ZeroDuration(), absl::Hours(24));
  status.Update(
      CheckSeconds("slow_reader_seconds", slow_reader, absl::Milliseconds(100), absl::Hours(24)));
  constexpr int64_t kMostBytes = int64_t{1} << 40;
  status.Update(CheckInt("retain_bytes", retain_bytes, 0, kMostBytes));
  return status;
}

}  // namespace hocket
