// A clock for measuring how long something lasts.
#ifndef HOCKET_SERVICE_STEADY_CLOCK_H_
#define HOCKET_SERVICE_STEADY_CLOCK_H_

#include <chrono>

#include "absl/time/time.h"

namespace hocket {

// Never goes back, whatever is done to the machine's clock. Only differences mean something.
inline absl::Time SteadyNow() {
  return absl::UnixEpoch() + absl::FromChrono(std::chrono::steady_clock::now().time_since_epoch());
}

}  // namespace hocket

#endif  // HOCKET_SERVICE_STEADY_CLOCK_H_
