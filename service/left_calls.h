// Counts, by connection, the calls that clients left after the server had worked on them for a
// while: by a deadline or because their user did not want to wait. There may be any number of them,
// most when the server is slow, and each had its place among its connection's streams; they are not
// what CallRateWatch looks for. Any thread.
#ifndef HOCKET_SERVICE_LEFT_CALLS_H_
#define HOCKET_SERVICE_LEFT_CALLS_H_

#include <cstdint>
#include <mutex>
#include <string>
#include <unordered_map>

#include "absl/time/time.h"

namespace hocket {

class LeftCalls {
 public:
  // Who leaves sooner after the call's headers has not waited.
  static constexpr absl::Duration kWhile = absl::Milliseconds(250);

  // Connections, by gRPC's name of their peer.
  void Open(const std::string& peer);
  void Close(const std::string& peer);

  void Count(const std::string& peer);  // Nothing where there is no such connection.
  int64_t Of(const std::string& peer) const;

 private:
  mutable std::mutex mutex_;
  std::unordered_map<std::string, int64_t> calls_;  // Guarded by mutex_.
};

}  // namespace hocket

#endif  // HOCKET_SERVICE_LEFT_CALLS_H_
