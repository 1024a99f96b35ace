// A few threads that render chats and tokenize, so that neither gRPC's threads nor the engine's
// wait for a long prompt. Bounded; any thread may call it.
#ifndef HOCKET_SERVICE_TEXT_POOL_H_
#define HOCKET_SERVICE_TEXT_POOL_H_

#include <condition_variable>
#include <cstdint>
#include <deque>
#include <functional>
#include <mutex>
#include <thread>
#include <vector>

#include "absl/status/status.h"

namespace hocket {

class TextPool {
 public:
  TextPool(int32_t threads, int32_t max_queued);
  ~TextPool();  // Runs what is queued, then ends the threads.
  TextPool(const TextPool&) = delete;
  TextPool& operator=(const TextPool&) = delete;

  // False when max_queued tasks wait already; the task then never runs.
  bool TrySchedule(std::function<void()> task);

  // What a client is told then: to come again.
  static absl::Status Full();

 private:
  void Run();

  const size_t max_queued_;
  std::mutex mutex_;
  std::condition_variable wake_;
  // Guarded by mutex_:
  std::deque<std::function<void()>> tasks_;
  bool closing_ = false;

  std::vector<std::thread> threads_;
};

}  // namespace hocket

#endif  // HOCKET_SERVICE_TEXT_POOL_H_
