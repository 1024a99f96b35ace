#include "runtime/machine.h"

#include <unistd.h>

#include <filesystem>
#include <fstream>

#include "gtest/gtest.h"

namespace hocket {
namespace {

namespace fs = std::filesystem;

class MachineTest : public testing::Test {
 protected:
  void SetUp() override {
    root_ = fs::temp_directory_path() / ("hocket-machine-" + std::to_string(getpid()));
    fs::remove_all(root_);
    Put("proc/meminfo", "MemTotal: 8000000 kB\nMemAvailable:    4000000 kB\n");
  }
  void TearDown() override { fs::remove_all(root_); }

  void Put(const std::string& path, const std::string& text) {
    fs::create_directories((root_ / path).parent_path());
    std::ofstream(root_ / path) << text;
  }

  fs::path root_;
};

TEST_F(MachineTest, WithoutCgroupsTheKernelsEstimateCounts) {
  EXPECT_EQ(CgroupProcessors(root_.string()), std::nullopt);
  EXPECT_EQ(AvailableMemoryBytes(root_.string()), int64_t{4000000} * 1024);
}

TEST_F(MachineTest, Version2LimitsCountAtEveryLevel) {
  Put("proc/self/cgroup", "0::/pod/container\n");
  Put("sys/fs/cgroup/pod/container/cpu.max", "max 100000\n");
  Put("sys/fs/cgroup/pod/cpu.max", "150000 100000\n");
  Put("sys/fs/cgroup/pod/container/memory.max", "max\n");
  Put("sys/fs/cgroup/pod/memory.max", "1000000\n");
  Put("sys/fs/cgroup/pod/memory.current", "400000\n");
  EXPECT_EQ(CgroupProcessors(root_.string()), 1.5);
  EXPECT_EQ(AvailableMemoryBytes(root_.string()), 600000);
}

TEST_F(MachineTest, Version1LimitsCountInsideAContainer) {
  Put("proc/self/cgroup", "5:cpu,cpuacct:/docker/abc\n4:memory:/docker/abc\n");
  Put("sys/fs/cgroup/cpu/cpu.cfs_quota_us", "50000\n");
  Put("sys/fs/cgroup/cpu/cpu.cfs_period_us", "100000\n");
  Put("sys/fs/cgroup/memory/memory.limit_in_bytes", "2000000\n");
  Put("sys/fs/cgroup/memory/memory.usage_in_bytes", "2500000\n");
  EXPECT_EQ(CgroupProcessors(root_.string()), 0.5);
  EXPECT_EQ(AvailableMemoryBytes(root_.string()), 0);
}

TEST_F(MachineTest, CachedFileContentsDoNotCountAsUsed) {
  Put("proc/self/cgroup", "0::/pod\n");
  Put("sys/fs/cgroup/pod/memory.max", "1000000\n");
  Put("sys/fs/cgroup/pod/memory.current", "990000\n");
  Put("sys/fs/cgroup/pod/memory.stat",
      "anon 90000\nfile 900000\ninactive_file 700000\nactive_file 150000\n");
  EXPECT_EQ(AvailableMemoryBytes(root_.string()), 860000);

  Put("proc/self/cgroup", "4:memory:/docker/abc\n");
  Put("sys/fs/cgroup/memory/memory.limit_in_bytes", "500000\n");
  Put("sys/fs/cgroup/memory/memory.usage_in_bytes", "500000\n");
  Put("sys/fs/cgroup/memory/memory.stat",
      "inactive_file 1\nactive_file 1\ntotal_inactive_file 300000\ntotal_active_file 50000\n");
  EXPECT_EQ(AvailableMemoryBytes(root_.string()), 350000);
}

TEST_F(MachineTest, AnUnlimitedVersion1QuotaIsNone) {
  Put("sys/fs/cgroup/cpu/cpu.cfs_quota_us", "-1\n");
  Put("sys/fs/cgroup/cpu/cpu.cfs_period_us", "100000\n");
  EXPECT_EQ(CgroupProcessors(root_.string()), std::nullopt);
}

TEST(Machine, ThereIsAlwaysAThread) { EXPECT_GE(AvailableThreads(), 1); }

}  // namespace
}  // namespace hocket
