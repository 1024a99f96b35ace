#include "service/delivery_thread.h"

#include <algorithm>
#include <utility>

#include "absl/time/clock.h"

namespace hocket {
namespace {

// Neither overflows nor trusts one sleep for long.
constexpr absl::Duration kLongestWait = absl::Seconds(1);

}  // namespace

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

void DeliveryThread::RunAt(absl::Time time, std::function<void()> task) {
  bool is_first = false;
  {
    std::lock_guard lock(mutex_);
    is_first = tasks_.empty() || time < tasks_.begin()->first;
    tasks_.emplace(time, std::move(task));
  }
  if (is_first) wake_.notify_one();
}

bool DeliveryThread::WaitForWork(std::vector<std::shared_ptr<Deliverable>>& batch, Tasks& due) {
  std::unique_lock lock(mutex_);
  while (!closing_ && scheduled_.empty()) {
    if (tasks_.empty()) {
      wake_.wait(lock);
      continue;
    }
    const absl::Duration left = tasks_.begin()->first - absl::Now();
    if (left <= absl::ZeroDuration()) break;
    wake_.wait_for(lock, absl::ToChronoNanoseconds(std::min(left, kLongestWait)));
  }
  batch.swap(scheduled_);
  if (!closing_) {
    const absl::Time now = absl::Now();
    while (!tasks_.empty() && tasks_.begin()->first <= now) {
      due.insert(tasks_.extract(tasks_.begin()));
    }
  }
  return !batch.empty() || !due.empty() || !closing_;
}

void DeliveryThread::Run() {
  std::vector<std::shared_ptr<Deliverable>> batch;
  Tasks due;
  while (WaitForWork(batch, due)) {
    for (std::shared_ptr<Deliverable>& deliverable : batch) deliverable->Deliver();
    batch.clear();
    for (auto& [time, task] : due) task();
    due.clear();
  }
}

}  // namespace hocket
