// Finds connections on which calls are opened faster than any client has use for. HTTP/2 lets a
// client open and reset calls without end and without waiting for answers ("rapid reset",
// CVE-2023-44487), and gRPC 1.51 has no answer to that: such a call costs 20 KB for a moment, so
// one connection takes gigabytes within seconds. gRPC counts the calls of each connection for its
// channelz service, and there they are read: only of the few connections that send much, for
// reading is slow. One thread.
#ifndef HOCKET_SERVICE_CALL_RATE_WATCH_H_
#define HOCKET_SERVICE_CALL_RATE_WATCH_H_

#include <cstdint>
#include <optional>
#include <string>
#include <unordered_map>
#include <vector>

#include "absl/time/time.h"

namespace hocket {

// As gRPC names a connection after its peer: "ipv4:127.0.0.1:4711", "ipv6:%5B::1%5D:4711".
std::string PeerName(int descriptor);

class CallRateWatch {
 public:
  // Of a connection that was accepted at `begin`.
  class Meter {
   public:
    explicit Meter(absl::Time begin) : read_at_(begin) {}

   private:
    friend class CallRateWatch;
    uint64_t bytes_ = 0;  // Received, at the last look.
    std::optional<int64_t> socket_id_;
    int64_t calls_ = 0;  // When they were last read.
    absl::Time read_at_;
    double excess_calls_ = 0;  // Beyond the limit's number for each second.
    absl::Time suspect_until_ = absl::InfinitePast();
  };
  struct Connection {
    int descriptor = -1;
    Meter* meter = nullptr;
  };

  static constexpr absl::Duration kPeriod = absl::Milliseconds(250);

  // Calls a second on one connection; one second's worth may come at once.
  explicit CallRateWatch(int32_t max_calls_per_second) : limit_(max_calls_per_second) {}

  // Descriptors of those that open more. To be called about every kPeriod, with all that are open.
  std::vector<int> Look(const std::vector<Connection>& connections, absl::Time now);

 private:
  bool OpensTooMany(const Connection& connection, absl::Time now);
  std::optional<int64_t> SocketIdOf(int descriptor);

  const int32_t limit_;
  absl::Time last_look_ = absl::InfinitePast();
  std::unordered_map<std::string, int64_t> socket_ids_;  // By peer; only during a look.
};

}  // namespace hocket

#endif  // HOCKET_SERVICE_CALL_RATE_WATCH_H_
