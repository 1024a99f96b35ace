#include "service/delivery_thread.h"

#include <gtest/gtest.h>

#include <future>
#include <memory>
#include <vector>

#include "absl/time/clock.h"

namespace hocket {
namespace {

class Parcel : public Deliverable {
 public:
  void Deliver() override { delivered_.set_value(); }
  std::future<void> delivered() { return delivered_.get_future(); }

 private:
  std::promise<void> delivered_;
};

TEST(DeliveryThreadTest, WhatIsScheduledIsDelivered) {
  auto parcel = std::make_shared<Parcel>();
  std::future<void> delivered = parcel->delivered();
  DeliveryThread thread;
  thread.Schedule(parcel);
  delivered.get();
}

TEST(DeliveryThreadTest, TasksRunInTheOrderOfTheirTimesAndNotBefore) {
  const absl::Time begin = absl::Now();
  std::vector<int> order;
  std::promise<absl::Time> last;
  DeliveryThread thread;
  thread.RunAt(begin + absl::Milliseconds(60), [&] { last.set_value(absl::Now()); });
  thread.RunAt(begin + absl::Milliseconds(40), [&] { order.push_back(2); });
  thread.RunAt(begin + absl::Milliseconds(20), [&] { order.push_back(1); });
  EXPECT_GE(last.get_future().get(), begin + absl::Milliseconds(60));
  EXPECT_EQ(order, (std::vector<int>{1, 2}));
}

TEST(DeliveryThreadTest, ATaskMayAskForAnother) {
  std::promise<void> done;
  DeliveryThread thread;
  thread.RunAt(absl::Now(), [&] {
    thread.RunAt(absl::Now() + absl::Milliseconds(5), [&] { done.set_value(); });
  });
  done.get_future().get();
}

TEST(DeliveryThreadTest, WhatIsDueLaterDoesNotHoldUpTheEnd) {
  const absl::Time begin = absl::Now();
  bool ran = false;
  {
    DeliveryThread thread;
    thread.RunAt(begin + absl::Hours(1), [&] { ran = true; });
  }
  EXPECT_FALSE(ran);
  EXPECT_LT(absl::Now() - begin, absl::Minutes(1));
}

}  // namespace
}  // namespace hocket
