// What of the settings can change while the server runs. A plain value; any thread.
#ifndef HOCKET_SERVICE_LIVE_SETTINGS_H_
#define HOCKET_SERVICE_LIVE_SETTINGS_H_

#include "absl/time/time.h"
#include "scheduler/admission_gate.h"
#include "service/session_settings.h"

namespace hocket {

struct LiveSettings {
  absl::Duration drain;  // Grace for running requests after the signal to stop.
  AdmissionLimits admission;
  SessionSettings sessions;
  absl::Duration slow_sender;  // For a call's message to come whole.
};

}  // namespace hocket

#endif  // HOCKET_SERVICE_LIVE_SETTINGS_H_
