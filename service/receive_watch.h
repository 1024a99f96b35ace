// Bounds the time that clients have to send a call's message whole, so that those who stop in its
// middle hold no memory. Once per server; any thread may call it.
#ifndef HOCKET_SERVICE_RECEIVE_WATCH_H_
#define HOCKET_SERVICE_RECEIVE_WATCH_H_

#include <atomic>
#include <cstdint>
#include <map>
#include <memory>
#include <mutex>

#include "absl/time/time.h"
#include "service/delivery_thread.h"

namespace hocket {

class AwaitedMessage {
 public:
  virtual ~AwaitedMessage() = default;

  // It took longer than `limit`. False: it came just now. On the delivery thread; must not block.
  virtual bool GiveUp(absl::Duration limit) = 0;
};

class ReceiveWatch {
 public:
  // `delivery` does the waiting. It is not used before the first Add, nor after its own
  // destruction.
  ReceiveWatch(absl::Duration limit, DeliveryThread* delivery);
  ReceiveWatch(const ReceiveWatch&) = delete;
  ReceiveWatch& operator=(const ReceiveWatch&) = delete;

  // Begins the message's time. The number is for Remove, which may come at any time later.
  int64_t Add(std::weak_ptr<AwaitedMessage> message);
  void Remove(int64_t number);

  void SetLimit(absl::Duration limit) { limit_nanos_ = absl::ToInt64Nanoseconds(limit); }
  int64_t given_up() const { return given_up_; }  // Since the start.

 private:
  struct Waiting {
    std::weak_ptr<AwaitedMessage> message;
    absl::Time since;
  };

  absl::Duration limit() const { return absl::Nanoseconds(limit_nanos_.load()); }
  void LookLater();  // With mutex_ held.
  void Look();

  DeliveryThread* const delivery_;
  std::atomic<int64_t> limit_nanos_;
  std::atomic<int64_t> given_up_ = 0;

  std::mutex mutex_;
  // Guarded by mutex_:
  std::map<int64_t, Waiting> waiting_;  // By number, and so the longest first.
  int64_t next_number_ = 0;
  bool looks_ = false;  // A look is to come.
};

}  // namespace hocket

#endif  // HOCKET_SERVICE_RECEIVE_WATCH_H_
