// Accepts connections and hands them to gRPC, no more at a time than may be: gRPC 1.51 has no such
// limit of its own. A thread of its own accepts; the counts may be read on any thread, the rest is
// for the thread that makes the server.
//
// gRPC does not say when it closes a connection, so the gate keeps a second descriptor of each and
// waits for the kernel to report it shut down in both directions, which gRPC does first. A
// connection therefore costs two descriptors.
#ifndef HOCKET_SERVICE_CONNECTION_GATE_H_
#define HOCKET_SERVICE_CONNECTION_GATE_H_

#include <grpcpp/security/server_credentials.h>
#include <grpcpp/server_builder.h>

#include <array>
#include <atomic>
#include <condition_variable>
#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <string>
#include <thread>
#include <unordered_map>

#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "service/call_rate_watch.h"
#include "service/descriptor.h"
#include "service/hand_over.h"
#include "service/heap_trim.h"
#include "service/left_calls.h"
#include "service/listening_sockets.h"

namespace hocket {

struct ConnectionLimits {
  int32_t max_connections = 4096;
  int32_t max_connections_per_address = 0;  // Of one peer; 0: as many as there may be.
  CallRateWatch::Limits calls = {};         // Of one connection; with more it is ended.
  // What was sent and is not acknowledged for so long ends a connection.
  absl::Duration acknowledge = absl::Seconds(20);
};

class ConnectionGate {
 public:
  // Listens already, but accepts nobody. UNAVAILABLE when the address cannot be had.
  static absl::StatusOr<std::unique_ptr<ConnectionGate>> Open(const std::string& host, int32_t port,
                                                              const ConnectionLimits& limits);
  ~ConnectionGate();
  ConnectionGate(const ConnectionGate&) = delete;
  ConnectionGate& operator=(const ConnectionGate&) = delete;

  int32_t port() const { return sockets_.port(); }
  // Of connections: what the settings say, or less where the process may not open as many files.
  int32_t limit() const { return limit_; }

  // In this order: before the server is built, when it is, and before it is shut down. A gate that
  // is not started, or stopped, takes no connections; those that are open stay.
  // `credentials` makes equal ones, any number of times.
  void Register(grpc::ServerBuilder& builder,
                const std::function<std::shared_ptr<grpc::ServerCredentials>()>& credentials);
  void Start();
  void StopAccepting();

  int32_t open_connections() const { return open_connections_; }
  int64_t refused_connections() const { return refused_connections_; }
  // For what was too much.
  int64_t ended_connections(CallRateWatch::Excess excess) const {
    return excess == CallRateWatch::Excess::kCalls ? ended_for_calls_ : ended_for_resets_;
  }
  LeftCalls& left_calls() { return left_calls_; }

 private:
  using PeerAddress = std::array<uint8_t, 16>;  // IPv4 mapped into IPv6.
  struct Connection {
    Descriptor watched;
    PeerAddress peer;
    CallRateWatch::Meter calls;
  };

  explicit ConnectionGate(const ConnectionLimits& limits)
      : limits_(limits), call_rates_(limits.calls, &left_calls_) {}
  absl::Status Prepare(const std::string& host, int32_t port);
  void Run();
  void AcceptFrom(int listener);
  void Take(Descriptor socket, const PeerAddress& peer, int listener);
  void Refuse(Descriptor socket);
  void Forget(int watched);
  void CloseListeners();
  void EndThoseWithTooManyCalls();
  void Wake();

  const ConnectionLimits limits_;
  int32_t limit_ = 0;
  ListeningSockets sockets_;
  Descriptor epoll_;
  Descriptor wake_;  // An eventfd.
  HandOver hand_over_;
  std::thread thread_;
  std::atomic<bool> accepting_ = true;
  std::atomic<bool> closing_ = false;
  std::atomic<int32_t> open_connections_ = 0;
  std::atomic<int64_t> refused_connections_ = 0;
  std::atomic<int64_t> ended_for_calls_ = 0;
  std::atomic<int64_t> ended_for_resets_ = 0;
  LeftCalls left_calls_;

  // The thread's own:
  std::unordered_map<int, Connection> connections_;  // By the watched descriptor.
  std::map<PeerAddress, int32_t> by_peer_;           // How many; none for 0.
  CallRateWatch call_rates_;
  absl::Time next_look_ = absl::InfinitePast();
  HeapTrim trim_;  // Of what connections used.

  std::mutex mutex_;
  std::condition_variable stopped_accepting_;
  bool has_stopped_accepting_ = false;  // Guarded by mutex_.
};

}  // namespace hocket

#endif  // HOCKET_SERVICE_CONNECTION_GATE_H_
