#include "service/text_pool.h"

#include <utility>

#include "service/error_reasons.h"
#include "service/status.h"

namespace hocket {

TextPool::TextPool(int32_t threads, int32_t max_queued) : max_queued_(max_queued) {
  for (int32_t i = 0; i < threads; ++i) threads_.emplace_back([this] { Run(); });
}

TextPool::~TextPool() {
  {
    std::lock_guard lock(mutex_);
    closing_ = true;
  }
  wake_.notify_all();
  for (std::thread& thread : threads_) thread.join();
}

bool TextPool::TrySchedule(std::function<void()> task) {
  {
    std::lock_guard lock(mutex_);
    if (tasks_.size() >= max_queued_) return false;
    tasks_.push_back(std::move(task));
  }
  wake_.notify_one();
  return true;
}

absl::Status TextPool::Full() {
  return WithRetryAfter(ReasonError(ErrorReason::kTextQueueFull,
                                    "too many requests wait to be tokenized; try again later"),
                        kRetryDelay);
}

void TextPool::Run() {
  while (true) {
    std::function<void()> task;
    {
      std::unique_lock lock(mutex_);
      wake_.wait(lock, [this] { return closing_ || !tasks_.empty(); });
      if (tasks_.empty()) return;
      task = std::move(tasks_.front());
      tasks_.pop_front();
    }
    task();
  }
}

}  // namespace hocket
