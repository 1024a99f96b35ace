// Finds connections on which calls are opened, or opened and reset, faster than any client has use
// for. HTTP/2 lets a client open and reset calls without end and without waiting for answers
// ("rapid reset", CVE-2023-44487), and gRPC 1.51 has no answer to that: such a call costs 20 KB for
// a moment, so one connection takes gigabytes within seconds. gRPC counts the calls of each
// connection, and those that end without its answer, for its channelz service, and there they are
// read: only of the few connections that send much, for reading is slow. One thread.
#ifndef HOCKET_SERVICE_CALL_RATE_WATCH_H_
#define HOCKET_SERVICE_CALL_RATE_WATCH_H_

#include <cstdint>
#include <optional>
#include <string>
#include <unordered_map>
#include <utility>
#include <vector>

#include "absl/time/time.h"
#include "service/left_calls.h"

namespace hocket {

// As gRPC names a connection after its peer: "ipv4:127.0.0.1:4711", "ipv6:%5B::1%5D:4711".
std::string PeerName(int descriptor);

class CallRateWatch {
 public:
  struct Limits {
    int32_t max_calls_per_second = 2000;
    // Calls that their client reset, but for those that it left after a while (LeftCalls).
    int32_t max_resets_per_second = 100;
  };
  enum class Excess { kNone, kCalls, kResets };

  // Of a connection that was accepted at `begin`.
  class Meter {
   public:
    Meter(absl::Time begin, std::string peer) : peer_(std::move(peer)), read_at_(begin) {}
    const std::string& peer() const { return peer_; }

   private:
    friend class CallRateWatch;
    // What there is beyond so many a second.
    struct Surplus {
      int64_t total = 0;  // When it was last read.
      double more = 0;
      void Add(int64_t total_now, double allowed);
    };

    const std::string peer_;
    uint64_t bytes_ = 0;  // Received, at the last look.
    std::optional<int64_t> socket_id_;
    absl::Time read_at_;
    Surplus calls_;
    Surplus resets_;
    absl::Time may_open_too_many_until_ = absl::InfinitePast();
    absl::Time may_reset_too_many_until_ = absl::InfinitePast();
  };
  struct Connection {
    int descriptor = -1;
    Meter* meter = nullptr;
  };
  struct Offender {
    int descriptor = -1;
    Excess excess = Excess::kNone;
  };

  static constexpr absl::Duration kPeriod = absl::Milliseconds(250);

  // One second's worth of calls may come at once, and ten seconds' of resets: a client that gives
  // up all it has waits for is no attacker. `left` outlives this.
  CallRateWatch(const Limits& limits, const LeftCalls* left) : limits_(limits), left_(*left) {}

  // Those that do more. To be called about every kPeriod, with all that are open.
  std::vector<Offender> Look(const std::vector<Connection>& connections, absl::Time now);

 private:
  // Whether it is time to read a connection's counts; `fresh` bytes came in so many seconds.
  bool IsDue(Meter& meter, uint64_t fresh, double seconds, absl::Time now) const;
  Excess Judge(Meter& meter, absl::Time now);
  std::optional<int64_t> SocketIdOf(const std::string& peer);

  const Limits limits_;
  const LeftCalls& left_;
  absl::Time last_look_ = absl::InfinitePast();
  std::unordered_map<std::string, int64_t> socket_ids_;  // By peer; only during a look.
};

}  // namespace hocket

#endif  // HOCKET_SERVICE_CALL_RATE_WATCH_H_
