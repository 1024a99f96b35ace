// Contents that move to large pages while threads read them.
#include "runtime/model/large_pages.h"

#include <sys/mman.h>
#include <unistd.h>

#include <atomic>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <iostream>
#include <random>
#include <string>
#include <thread>
#include <vector>

#include "gtest/gtest.h"
#include "runtime/model/mapped_file.h"

namespace hocket {
namespace {

namespace fs = std::filesystem;

class LargePagesTest : public testing::Test {
 protected:
  void SetUp() override {
    path_ = fs::temp_directory_path() / ("hocket-large-pages-" + std::to_string(getpid()));
  }
  void TearDown() override { fs::remove(path_); }

  void Write(size_t size) {
    std::mt19937_64 random(size);
    contents_.resize(size);
    for (std::byte& byte : contents_) byte = static_cast<std::byte>(random());
    std::ofstream(path_, std::ios::binary)
        .write(reinterpret_cast<const char*>(contents_.data()), static_cast<std::streamsize>(size));
  }

  // How much of this process lies in large pages, in KiB.
  static int64_t LargePageKib() {
    std::ifstream rollup("/proc/self/smaps_rollup");
    std::string word;
    int64_t kib = -1;
    while (rollup >> word) {
      if (word == "AnonHugePages:") rollup >> kib;
    }
    return kib;
  }

  std::string path_;
  std::vector<std::byte> contents_;
};

TEST_F(LargePagesTest, ReadersSeeTheSameBytesBeforeDuringAndAfter) {
  Write((size_t{65} << 20) + 12345);
  const auto file = MappedFile::Open(path_);
  ASSERT_TRUE(file.ok());
  std::atomic<bool> done = false;
  std::atomic<int> differences = 0;
  std::vector<std::thread> readers;
  for (int i = 0; i < 2; ++i) {
    readers.emplace_back([&] {
      do {
        if (std::memcmp(file->bytes().data(), contents_.data(), contents_.size()) != 0) {
          ++differences;
        }
      } while (!done);
    });
  }
  const int64_t before = LargePageKib();
  int64_t moved = -1;
  LargePageMove move(file->bytes(), [&](int64_t bytes, double seconds) {
    moved = bytes;
    EXPECT_GE(seconds, 0);
  });
  move.Wait();
  done = true;
  for (std::thread& reader : readers) reader.join();
  EXPECT_EQ(differences, 0);
  EXPECT_EQ(std::memcmp(file->bytes().data(), contents_.data(), contents_.size()), 0);
  if (moved == 0) GTEST_SKIP() << "the system gives no large pages";
  EXPECT_GE(moved, int64_t{62} << 20);
  EXPECT_EQ(moved % (2 << 20), 0);
  // A machine short of memory may give fewer.
  std::cout << "in large pages: " << (LargePageKib() - before) / 1024 << " MiB\n";
}

// A thread that starts meanwhile has its stack where a moved page was.
TEST_F(LargePagesTest, MemoryThatOthersMapMeanwhileStaysTheirs) {
  Write(size_t{64} << 20);
  const auto file = MappedFile::Open(path_);
  ASSERT_TRUE(file.ok());
  constexpr size_t kBytes = size_t{256} << 10;
  std::vector<void*> others;
  std::atomic<bool> done = false;
  std::thread moving([&] {
    LargePageMove(file->bytes(), nullptr).Wait();
    done = true;
  });
  while (!done && others.size() < 10'000) {
    void* const memory =
        mmap(nullptr, kBytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (memory == MAP_FAILED) break;
    others.push_back(memory);
  }
  moving.join();
  std::vector<unsigned char> resident(kBytes / 4096);
  int64_t lost = 0;
  for (void* memory : others) {
    if (mincore(memory, kBytes, resident.data()) != 0) ++lost;  // ENOMEM: not mapped any more.
    munmap(memory, kBytes);
  }
  EXPECT_GT(others.size(), 0u);
  EXPECT_EQ(lost, 0) << "of " << others.size();
}

TEST_F(LargePagesTest, MayStopInTheMiddleAndLeavesAWholeMapping) {
  Write(size_t{64} << 20);
  const auto file = MappedFile::Open(path_);
  ASSERT_TRUE(file.ok());
  for (int i = 0; i < 5; ++i) {
    LargePageMove move(file->bytes(), nullptr);
    std::this_thread::sleep_for(std::chrono::milliseconds(i));
  }
  EXPECT_EQ(std::memcmp(file->bytes().data(), contents_.data(), contents_.size()), 0);
}

TEST_F(LargePagesTest, WhatIsSmallerThanALargePageStays) {
  Write(4096);
  const auto file = MappedFile::Open(path_);
  ASSERT_TRUE(file.ok());
  int64_t moved = -1;
  LargePageMove(file->bytes(), [&](int64_t bytes, double) { moved = bytes; }).Wait();
  EXPECT_EQ(moved, 0);
  EXPECT_EQ(std::memcmp(file->bytes().data(), contents_.data(), contents_.size()), 0);
}

}  // namespace
}  // namespace hocket
