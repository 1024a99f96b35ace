#include "runtime/kernels/idle_cpus.h"

#include <chrono>
#include <optional>
#include <thread>

#include "gtest/gtest.h"
#include "tests/runtime/kernels/pinned.h"

namespace hocket {
namespace {

using std::chrono::milliseconds;
using std::chrono::steady_clock;

constexpr int64_t kMillisecond = 1'000'000;

TEST(IdleCpusTest, ABusyCpuIsNotIdle) {
  Pinned pinned;
  IdleCpus idle;  // Of this CPU alone.
  if (!idle.Take().has_value()) GTEST_SKIP() << "the system does not say";
  for (const auto end = steady_clock::now() + milliseconds(300); steady_clock::now() < end;) {
  }
  EXPECT_LE(idle.Take().value(), 30 * kMillisecond);
}

TEST(IdleCpusTest, NoMoreIsIdleThanThereWasTime) {
  IdleCpus idle;
  if (!idle.Take().has_value()) GTEST_SKIP() << "the system does not say";
  const auto start = steady_clock::now();
  std::this_thread::sleep_for(milliseconds(200));
  const int64_t idle_ns = idle.Take().value();
  const std::chrono::nanoseconds passed = steady_clock::now() - start;
  EXPECT_GE(idle_ns, 0);
  const auto cpus = static_cast<int64_t>(std::thread::hardware_concurrency());
  EXPECT_LE(idle_ns, cpus * (passed.count() + 20 * kMillisecond));
}

}  // namespace
}  // namespace hocket
