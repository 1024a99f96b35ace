// One thread that carries events from the engine to gRPC. The engine thread only puts a call on the
// list, which wakes this thread at most once a step; turning events into messages, serializing and
// sending happen here.
#ifndef HOCKET_SERVICE_DELIVERY_THREAD_H_
#define HOCKET_SERVICE_DELIVERY_THREAD_H_

#include <condition_variable>
#include <memory>
#include <mutex>
#include <thread>
#include <vector>

namespace hocket {

class Deliverable {
 public:
  virtual ~Deliverable() = default;
  virtual void Deliver() = 0;  // On the delivery thread; must not block.
};

class DeliveryThread {
 public:
  DeliveryThread();
  ~DeliveryThread();  // Delivers what is scheduled, then ends the thread.
  DeliveryThread(const DeliveryThread&) = delete;
  DeliveryThread& operator=(const DeliveryThread&) = delete;

  // Any thread. Callers keep a thing from being scheduled again before it is delivered, which
  // bounds the list by the number of calls.
  void Schedule(std::shared_ptr<Deliverable> deliverable);

 private:
  void Run();

  std::mutex mutex_;
  std::condition_variable wake_;
  // Guarded by mutex_:
  std::vector<std::shared_ptr<Deliverable>> scheduled_;
  bool closing_ = false;

  std::thread thread_;
};

}  // namespace hocket

#endif  // HOCKET_SERVICE_DELIVERY_THREAD_H_
