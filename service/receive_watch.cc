#include "service/receive_watch.h"

#include <algorithm>
#include <utility>
#include <vector>

#include "absl/time/clock.h"
#include "service/steady_clock.h"

namespace hocket {
namespace {

// How late the end of a message's time may be seen.
constexpr absl::Duration kMinLook = absl::Milliseconds(20);
constexpr absl::Duration kMaxLook = absl::Seconds(1);

}  // namespace

ReceiveWatch::ReceiveWatch(absl::Duration limit, DeliveryThread* delivery)
    : delivery_(delivery), limit_nanos_(absl::ToInt64Nanoseconds(limit)) {}

int64_t ReceiveWatch::Add(std::weak_ptr<AwaitedMessage> message) {
  std::lock_guard lock(mutex_);
  const int64_t number = next_number_++;
  waiting_.emplace_hint(waiting_.end(), number, Waiting{std::move(message), SteadyNow()});
  LookLater();
  return number;
}

void ReceiveWatch::Remove(int64_t number) {
  std::lock_guard lock(mutex_);
  waiting_.erase(number);
}

void ReceiveWatch::LookLater() {
  if (std::exchange(looks_, true)) return;
  delivery_->RunAt(absl::Now() + std::clamp(limit() / 4, kMinLook, kMaxLook), [this] { Look(); });
}

void ReceiveWatch::Look() {
  const absl::Duration limit = this->limit();
  const absl::Time late = SteadyNow() - limit;
  std::vector<std::shared_ptr<AwaitedMessage>> given_up;
  {
    std::lock_guard lock(mutex_);
    looks_ = false;
    while (!waiting_.empty() && waiting_.begin()->second.since <= late) {
      given_up.push_back(waiting_.begin()->second.message.lock());
      waiting_.erase(waiting_.begin());
    }
    if (!waiting_.empty()) LookLater();
  }
  // Not under the lock: whoever is given up may go at once.
  for (const std::shared_ptr<AwaitedMessage>& message : given_up) {
    if (message != nullptr && message->GiveUp(limit)) ++given_up_;
  }
}

}  // namespace hocket
