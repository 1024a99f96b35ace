// A few threads that render chats and tokenize, so that neither gRPC's threads nor the engine's
// wait for a long prompt. Bounded; any thread may call it.
#ifndef HOCKET_SERVICE_TEXT_POOL_H_
#define HOCKET_SERVICE_TEXT_POOL_H_

#include <cstdint>
#include <deque>
#include <functional>
#include <thread>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "absl/synchronization/mutex.h"

namespace hocket {

class TextPool {
 public:
  TextPool(int32_t threads, int32_t max_queued);
  ~TextPool();  // Runs what is queued, then ends the threads.
  TextPool(const TextPool&) = delete;
  TextPool& operator=(const TextPool&) = delete;

  // False when max_queued tasks wait already; the task then never runs.
  bool TrySchedule(std::function<void()> task);

 private:
  void Run();
  bool HasTask() const ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_) { return closing_ || !tasks_.empty(); }

  const size_t max_queued_;
  absl::Mutex mutex_;
  std::deque<std::function<void()>> tasks_ ABSL_GUARDED_BY(mutex_);
  bool closing_ ABSL_GUARDED_BY(mutex_) = false;
  std::vector<std::thread> threads_;
};

}  // namespace hocket

#endif  // HOCKET_SERVICE_TEXT_POOL_H_
