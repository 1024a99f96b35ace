#include "runtime/kernels/run_delay.h"

#include <atomic>
#include <chrono>
#include <thread>

#include "gtest/gtest.h"
#include "tests/runtime/kernels/pinned.h"

namespace hocket {
namespace {

using std::chrono::milliseconds;
using std::chrono::steady_clock;

void Spin(milliseconds time) {
  for (const auto end = steady_clock::now() + time; steady_clock::now() < end;) {
  }
}

TEST(RunDelayTest, CountsWhatAnotherThreadTakesOfTheCpuAndNotSleep) {
  RunDelay delay(1);
  delay.Enter(0);
  if (!delay.Take().has_value()) GTEST_SKIP() << "the system does not count run delays";
  std::this_thread::sleep_for(milliseconds(100));
  const int64_t asleep = delay.Take().value();

  Pinned pinned;
  std::atomic<bool> stop = false;
  std::thread neighbour([&] {  // Inherits the one CPU.
    while (!stop) Spin(milliseconds(1));
  });
  Spin(milliseconds(300));
  const int64_t beside = delay.Take().value();
  stop = true;
  neighbour.join();
  EXPECT_GT(beside, 60'000'000);
  EXPECT_LT(asleep, 60'000'000);
  EXPECT_GE(delay.Take().value(), 0);
}

TEST(RunDelayTest, KnowsNothingBeforeAMemberIsThere) {
  EXPECT_FALSE(RunDelay(2).Take().has_value());
}

TEST(RunDelayTest, AMemberMayBecomeAnotherThread) {
  RunDelay delay(1);
  delay.Enter(0);
  std::thread([&] { delay.Enter(0); }).join();
  delay.Enter(0);
  if (!delay.Take().has_value()) GTEST_SKIP() << "the system does not count run delays";
  EXPECT_GE(delay.Take().value(), 0);
}

}  // namespace
}  // namespace hocket
