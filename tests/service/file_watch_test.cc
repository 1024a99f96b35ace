// Files that change in every way in which operators change them.
#include "service/file_watch.h"

#include <gtest/gtest.h>
#include <unistd.h>

#include <atomic>
#include <cstdio>
#include <fstream>
#include <string>

#include "absl/time/clock.h"

namespace hocket {
namespace {

class FileWatchTest : public testing::Test {
 protected:
  void SetUp() override {
    std::remove(path_.c_str());
    Write(path_, "one");
    watch_.Add({path_}, [this] { ++calls_; });
    watch_.Start();
  }

  static void Write(const std::string& path, const std::string& text) {
    std::ofstream(path) << text;
  }
  bool HearsOfAChange() {
    const int before = heard_;
    for (int i = 0; i < 500 && calls_ == before; ++i) absl::SleepFor(absl::Milliseconds(10));
    heard_ = calls_;
    return heard_ > before;
  }

  const std::string path_ = testing::TempDir() + "watched";
  const std::string other_ = testing::TempDir() + "replacement";
  std::atomic<int> calls_ = 0;
  int heard_ = 0;
  FileWatch watch_{absl::Milliseconds(20)};
};

TEST_F(FileWatchTest, SeesAFileThatIsWrittenReplacedOrGone) {
  Write(path_, "three");
  EXPECT_TRUE(HearsOfAChange());
  Write(other_, "seven");
  ASSERT_EQ(std::rename(other_.c_str(), path_.c_str()), 0);
  EXPECT_TRUE(HearsOfAChange());
  std::remove(path_.c_str());
  EXPECT_TRUE(HearsOfAChange());
  Write(other_, "seven");
  ASSERT_EQ(symlink(other_.c_str(), path_.c_str()), 0);
  EXPECT_TRUE(HearsOfAChange());
  Write(other_, "eleven");
  EXPECT_TRUE(HearsOfAChange()) << "through the link";
}

TEST_F(FileWatchTest, IsAskedAfterEachLookUntilItIsStopped) {
  std::atomic<int> looks = 0;
  FileWatch watch(absl::Milliseconds(1));
  watch.Add({path_}, [] {});
  watch.Start([&] { ++looks; });
  for (int i = 0; i < 5000 && looks < 3; ++i) absl::SleepFor(absl::Milliseconds(1));
  EXPECT_GE(looks, 3);
  watch.Stop();
  const int before = looks;
  watch.ReloadAll();
  absl::SleepFor(absl::Milliseconds(20));
  EXPECT_EQ(looks, before);
}

TEST_F(FileWatchTest, IsQuietWhileNothingChangesUnlessAsked) {
  absl::SleepFor(absl::Milliseconds(200));
  EXPECT_EQ(calls_, 0);
  watch_.ReloadAll();
  EXPECT_TRUE(HearsOfAChange());
  absl::SleepFor(absl::Milliseconds(200));
  EXPECT_EQ(calls_, 1);
}

}  // namespace
}  // namespace hocket
