// How long, and how much of, the server keeps requests for clients that come back. A plain value;
// any thread.
#ifndef HOCKET_SERVICE_SESSION_SETTINGS_H_
#define HOCKET_SERVICE_SESSION_SETTINGS_H_

#include <cstdint>

#include "absl/status/status.h"
#include "absl/time/time.h"

namespace hocket {

struct SessionSettings {
  absl::Duration retain = absl::Seconds(120);       // After its end or suspension; 0: not at all.
  int64_t retain_bytes = int64_t{64} << 20;         // Over all; the oldest go first.
  absl::Duration slow_reader = absl::Seconds(300);  // For a client to take what was sent.
  absl::Duration slow_reader_grace =
      absl::Seconds(30);  // More, to take what says that it was slow.

  // INVALID_ARGUMENT naming the setting, the value and the range.
  absl::Status Validate() const;
};

}  // namespace hocket

#endif  // HOCKET_SERVICE_SESSION_SETTINGS_H_
