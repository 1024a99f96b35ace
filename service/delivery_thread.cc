#include "service/delivery_thread.h"

#include <utility>

namespace hocket {

DeliveryThread::DeliveryThread() : thread_([this] { Run(); }) {}

DeliveryThread::~DeliveryThread() {
  {
    absl::MutexLock lock(&mutex_);
    closing_ = true;
  }
  thread_.join();
}

void DeliveryThread::Schedule(std::shared_ptr<Deliverable> deliverable) {
  absl::MutexLock lock(&mutex_);
  scheduled_.push_back(std::move(deliverable));
}

void DeliveryThread::Run() {
  std::vector<std::shared_ptr<Deliverable>> batch;
  while (true) {
    {
      absl::MutexLock lock(&mutex_);
      mutex_.Await(absl::Condition(this, &DeliveryThread::HasWork));
      if (scheduled_.empty()) return;
      batch.swap(scheduled_);
    }
    for (std::shared_ptr<Deliverable>& deliverable : batch) deliverable->Deliver();
    batch.clear();
  }
}

}  // namespace hocket
