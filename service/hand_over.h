// Hands accepted connections to gRPC, on threads of its own: gRPC goes on to work for a connection
// on the thread that hands it over, under a lock, for as long as there is something to read, so one
// that floods would hold up all others. Each thread therefore has an acceptor, and so a lock, of
// its own. Give may be called on one thread; the rest is for the thread that makes the server.
#ifndef HOCKET_SERVICE_HAND_OVER_H_
#define HOCKET_SERVICE_HAND_OVER_H_

#include <grpcpp/security/server_credentials.h>
#include <grpcpp/server_builder.h>

#include <array>
#include <condition_variable>
#include <deque>
#include <functional>
#include <memory>
#include <mutex>
#include <thread>
#include <vector>

#include "service/descriptor.h"

namespace hocket {

class HandOver {
 public:
  HandOver() = default;
  ~HandOver();
  HandOver(const HandOver&) = delete;
  HandOver& operator=(const HandOver&) = delete;

  // Before the server is built. `credentials` makes those of one acceptor.
  void Register(grpc::ServerBuilder& builder,
                const std::function<std::shared_ptr<grpc::ServerCredentials>()>& credentials);
  void Start();  // When the server runs.

  // `key` names the connection to Stop. After Stop it is closed.
  void Give(Descriptor socket, int listener, int key);

  // Before the server is shut down: closes who waits, and tells the keys of those at whom gRPC is
  // still at work half a second later. Join, which waits for it, must come after their ends.
  std::vector<int> Stop();
  void Join();

 private:
  static constexpr size_t kThreads = 8;
  struct Waiting {
    Descriptor socket;
    int listener;
    int key;
  };

  static std::array<int, kThreads> AllIdle() {
    std::array<int, kThreads> idle;
    idle.fill(-1);
    return idle;
  }
  void Run(size_t thread);

  std::array<std::unique_ptr<grpc::experimental::ExternalConnectionAcceptor>, kThreads> acceptors_;
  std::mutex mutex_;
  std::condition_variable wake_;
  // Guarded by mutex_:
  std::deque<Waiting> waiting_;
  std::array<int, kThreads> busy_ = AllIdle();  // Each thread's key, or -1.
  bool stop_ = false;

  std::vector<std::thread> threads_;
};

}  // namespace hocket

#endif  // HOCKET_SERVICE_HAND_OVER_H_
