#include "service/delivery_thread.h"

#include <utility>

namespace hocket {

DeliveryThread::DeliveryThread() : thread_([this] { Run(); }) {}

DeliveryThread::~DeliveryThread() {
  {
    std::lock_guard lock(mutex_);
    closing_ = true;
  }
  wake_.notify_one();
  thread_.join();
}

void DeliveryThread::Schedule(std::shared_ptr<Deliverable> deliverable) {
  bool was_empty = false;
  {
    std::lock_guard lock(mutex_);
    was_empty = scheduled_.empty();
    scheduled_.push_back(std::move(deliverable));
  }
  if (was_empty) wake_.notify_one();
}

void DeliveryThread::Run() {
  std::vector<std::shared_ptr<Deliverable>> batch;
  while (true) {
    {
      std::unique_lock lock(mutex_);
      wake_.wait(lock, [this] { return closing_ || !scheduled_.empty(); });
      if (scheduled_.empty()) return;
      batch.swap(scheduled_);
    }
    for (std::shared_ptr<Deliverable>& deliverable : batch) deliverable->Deliver();
    batch.clear();
  }
}

}  // namespace hocket
