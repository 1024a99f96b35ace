#include "service/receive_watch.h"

#include <gtest/gtest.h>

#include <atomic>
#include <functional>
#include <memory>

#include "absl/time/clock.h"

namespace hocket {
namespace {

class TestMessage final : public AwaitedMessage {
 public:
  explicit TestMessage(bool comes_just_then = false) : comes_just_then_(comes_just_then) {}

  bool GiveUp(absl::Duration limit) override {
    limit_nanos_ = absl::ToInt64Nanoseconds(limit);
    return !comes_just_then_;
  }

  // Zero: it was not given up.
  absl::Duration limit() const { return absl::Nanoseconds(limit_nanos_.load()); }

 private:
  const bool comes_just_then_;
  std::atomic<int64_t> limit_nanos_ = 0;
};

bool Soon(const std::function<bool()>& holds) {
  for (int i = 0; i < 1000 && !holds(); ++i) absl::SleepFor(absl::Milliseconds(5));
  return holds();
}

class ReceiveWatchTest : public testing::Test {
 protected:
  static constexpr absl::Duration kLimit = absl::Milliseconds(100);

  ReceiveWatch watch_{kLimit, &delivery_};
  DeliveryThread delivery_;  // Ends before what it looks at.
};

TEST_F(ReceiveWatchTest, GivesUpWhatDoesNotComeAndNothingElse) {
  const auto slow = std::make_shared<TestMessage>();
  const auto come = std::make_shared<TestMessage>();
  const auto racing = std::make_shared<TestMessage>(/*comes_just_then=*/true);
  const absl::Time begin = absl::Now();
  const int64_t number = watch_.Add(come);
  watch_.Add(slow);
  watch_.Add(std::make_shared<TestMessage>());  // Its call has gone.
  watch_.Add(racing);
  watch_.Remove(number);
  EXPECT_TRUE(Soon([&] { return racing->limit() > absl::ZeroDuration(); }));
  EXPECT_GE(absl::Now() - begin, kLimit);
  EXPECT_EQ(slow->limit(), kLimit);
  EXPECT_EQ(come->limit(), absl::ZeroDuration());
  EXPECT_TRUE(Soon([&] { return watch_.given_up() == 1; }));
}

TEST_F(ReceiveWatchTest, ANewLimitHoldsForWhatIsAwaitedAlready) {
  watch_.SetLimit(absl::Hours(1));
  const auto slow = std::make_shared<TestMessage>();
  watch_.Add(slow);
  absl::SleepFor(2 * kLimit);
  EXPECT_EQ(slow->limit(), absl::ZeroDuration());
  watch_.SetLimit(kLimit);
  EXPECT_TRUE(Soon([&] { return slow->limit() == kLimit; }));
}

}  // namespace
}  // namespace hocket
