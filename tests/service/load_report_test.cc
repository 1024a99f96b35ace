#include "service/load_report.h"

#include <gtest/gtest.h>

namespace hocket {
namespace {

struct FakeMachine {
  LoadSampler::Sources Sources() {
    return {.now = [this] { return now; },
            .cpu_time = [this] { return cpu_time; },
            .processors = 2,
            .resident_bytes = [this] { return resident_bytes; },
            .available_bytes = [this] { return available_bytes; }};
  }

  absl::Time now = absl::UnixEpoch();
  absl::Duration cpu_time = absl::Seconds(100);
  int64_t resident_bytes = int64_t{1} << 30;
  int64_t available_bytes = int64_t{3} << 30;
};

TEST(LoadSamplerTest, ProcessorTimeIsAShareOfTheProcessorsAllowed) {
  FakeMachine machine;
  LoadSampler sampler(machine.Sources());
  EXPECT_EQ(sampler.cpu_utilization(), 0);
  machine.now += absl::Seconds(1);
  machine.cpu_time += absl::Milliseconds(500);
  sampler.Sample();
  EXPECT_DOUBLE_EQ(sampler.cpu_utilization(), 0.25);
  machine.now += absl::Milliseconds(100);
  machine.cpu_time += absl::Milliseconds(200);
  sampler.Sample();
  EXPECT_DOUBLE_EQ(sampler.cpu_utilization(), 0.25) << "too soon to say";
  machine.now += absl::Milliseconds(900);
  machine.cpu_time += absl::Milliseconds(1800);
  sampler.Sample();
  EXPECT_DOUBLE_EQ(sampler.cpu_utilization(), 1);
}

TEST(LoadSamplerTest, MemoryIsAShareOfWhatCouldBeHad) {
  FakeMachine machine;
  LoadSampler sampler(machine.Sources());
  EXPECT_DOUBLE_EQ(sampler.memory_utilization(), 0.25);
  machine.available_bytes = 0;
  machine.now += absl::Seconds(1);
  sampler.Sample();
  EXPECT_DOUBLE_EQ(sampler.memory_utilization(), 1);
}

TEST(LoadSamplerTest, ThisProcessHasSomeOfBoth) {
  LoadSampler sampler;
  EXPECT_GT(sampler.memory_utilization(), 0);
  EXPECT_LT(sampler.memory_utilization(), 1);
  EXPECT_EQ(sampler.cpu_utilization(), 0);
}

}  // namespace
}  // namespace hocket
