// One thread that carries events from the engine to gRPC. The engine thread only puts a call on the
// list, which wakes this thread at most once a step; turning events into messages, serializing and
// sending happen here. It also does small things that are due at a time.
#ifndef HOCKET_SERVICE_DELIVERY_THREAD_H_
#define HOCKET_SERVICE_DELIVERY_THREAD_H_

#include <condition_variable>
#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <thread>
#include <vector>

#include "absl/time/time.h"

namespace hocket {

class Deliverable {
 public:
  virtual ~Deliverable() = default;
  virtual void Deliver() = 0;  // On the delivery thread; must not block.
};

class DeliveryThread {
 public:
  DeliveryThread();
  // Delivers what is scheduled, then ends the thread. What is due later is dropped.
  ~DeliveryThread();
  DeliveryThread(const DeliveryThread&) = delete;
  DeliveryThread& operator=(const DeliveryThread&) = delete;

  // Any thread. Callers keep a thing from being scheduled again before it is delivered, which
  // bounds the list by the number of calls.
  void Schedule(std::shared_ptr<Deliverable> deliverable);

  // Any thread. `task` must not block; callers bound how many wait.
  void RunAt(absl::Time time, std::function<void()> task);

 private:
  using Tasks = std::multimap<absl::Time, std::function<void()>>;

  void Run();
  bool WaitForWork(std::vector<std::shared_ptr<Deliverable>>& batch, Tasks& due);

  std::mutex mutex_;
  std::condition_variable wake_;
  // Guarded by mutex_:
  std::vector<std::shared_ptr<Deliverable>> scheduled_;
  Tasks tasks_;
  bool closing_ = false;

  std::thread thread_;
};

}  // namespace hocket

#endif  // HOCKET_SERVICE_DELIVERY_THREAD_H_
