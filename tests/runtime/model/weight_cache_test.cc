// The weight cache's file: what is found again, and everything that must not be.
#include "runtime/model/weight_cache.h"

#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <csignal>
#include <cstdlib>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <random>
#include <thread>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "gtest/gtest.h"
#include "tests/runtime/model/decoder_harness.h"

namespace hocket {
namespace {

namespace fs = std::filesystem;

std::vector<std::byte> SomeBytes(size_t size, uint32_t seed) {
  std::mt19937 random(seed);
  std::vector<std::byte> bytes(size);
  for (std::byte& byte : bytes) byte = static_cast<std::byte>(random());
  return bytes;
}

class WeightCacheTest : public testing::Test {
 protected:
  void SetUp() override {
    folder_ = fs::temp_directory_path() / ("hocket-weight-cache-" + std::to_string(getpid()));
    fs::remove_all(folder_);
    fs::create_directories(folder_);
    path_ = (folder_ / "int8.hocket-weights").string();
  }
  void TearDown() override { fs::remove_all(folder_); }

  WeightCache Cache(const std::string& key = "the key") const { return {{path_}, key}; }
  std::string Store(const std::vector<std::byte>& payload) {
    const auto path = Cache().Store(payload, team_, nullptr);
    EXPECT_TRUE(path.ok()) << path.status();
    return path.value_or("");
  }
  absl::Status FindError(const WeightCache& cache, size_t bytes) {
    return cache.Find(static_cast<int64_t>(bytes), team_).status();
  }
  void Overwrite(size_t offset, char byte) {
    std::fstream file(path_, std::ios::in | std::ios::out | std::ios::binary);
    file.seekp(static_cast<std::streamoff>(offset));
    file.put(byte);
  }
  char ByteAt(size_t offset) {
    std::ifstream file(path_, std::ios::binary);
    file.seekg(static_cast<std::streamoff>(offset));
    return static_cast<char>(file.get());
  }
  size_t FilesInFolder() const {
    return std::distance(fs::directory_iterator(folder_), fs::directory_iterator());
  }

  fs::path folder_;
  std::string path_;
  Team team_{2};
};

TEST_F(WeightCacheTest, WhatWasStoredIsFoundOnAPageBoundary) {
  for (const size_t size : {size_t{64}, size_t{4096}, (size_t{9} << 20) + 64}) {
    const std::vector<std::byte> payload = SomeBytes(size, 1);
    EXPECT_EQ(Store(payload), path_);
    const auto found = Cache().Find(static_cast<int64_t>(size), team_);
    ASSERT_TRUE(found.ok()) << found.status();
    EXPECT_EQ(found->path, path_);
    ASSERT_EQ(found->payload.size(), size);
    EXPECT_EQ(std::memcmp(found->payload.data(), payload.data(), size), 0);
    EXPECT_EQ(reinterpret_cast<uintptr_t>(found->payload.data()) % 4096, 0u);
    EXPECT_EQ(FilesInFolder(), 1u);
  }
}

TEST_F(WeightCacheTest, AMissingFileIsNotFound) {
  EXPECT_TRUE(absl::IsNotFound(FindError(Cache(), 64)));
}

TEST_F(WeightCacheTest, AnotherKeyOrSizeIsNotUsed) {
  Store(SomeBytes(8192, 2));
  EXPECT_TRUE(absl::StrContains(FindError(Cache("another key"), 8192).message(),
                                "made from another checkpoint or for another layout"));
  EXPECT_FALSE(FindError(Cache("the kez"), 8192).ok());
  EXPECT_FALSE(FindError(Cache(""), 8192).ok());
  EXPECT_FALSE(FindError(Cache(), 4096).ok());
  EXPECT_TRUE(FindError(Cache(), 8192).ok());
}

TEST_F(WeightCacheTest, AFileCutShortOrGrownIsNotUsed) {
  const size_t size = 8192;
  for (const int64_t length : {0, 1, 55, 56, 4095, 4096, 4097, 4096 + 8191, 4096 + 8193, 20000}) {
    Store(SomeBytes(size, 3));
    fs::resize_file(path_, length);
    EXPECT_EQ(FindError(Cache(), size).code(), absl::StatusCode::kFailedPrecondition) << length;
  }
}

TEST_F(WeightCacheTest, AHeaderThatClaimsToBeShorterThanItsFieldsIsNotUsed) {
  for (const char bytes : {0, 8, 55}) {
    Store(SomeBytes(64, 5));
    Overwrite(16, bytes);  // header_bytes, little-endian.
    Overwrite(17, 0);
    EXPECT_EQ(FindError(Cache(), 64).message(), path_ + ": damaged header");
  }
}

TEST_F(WeightCacheTest, APipeInItsPlaceIsNotWaitedFor) {
  ASSERT_EQ(mkfifo(path_.c_str(), 0600), 0);
  EXPECT_EQ(FindError(Cache(), 64).message(), path_ + ": not a regular file");
}

TEST_F(WeightCacheTest, ADamagedByteIsNoticedWhereverItIs) {
  const size_t size = 12288;
  Store(SomeBytes(size, 4));
  const size_t file_bytes = fs::file_size(path_);
  ASSERT_EQ(file_bytes, size + 4096);
  for (size_t offset = 0; offset < file_bytes; offset += offset < 128 ? 1 : 61) {
    const char byte = ByteAt(offset);
    Overwrite(offset, static_cast<char>(byte ^ (1 << offset % 8)));
    EXPECT_EQ(FindError(Cache(), size).code(), absl::StatusCode::kFailedPrecondition) << offset;
    Overwrite(offset, byte);
  }
  EXPECT_TRUE(FindError(Cache(), size).ok());
}

TEST_F(WeightCacheTest, AMapStaysRightWhileTheFileIsReplaced) {
  const std::vector<std::byte> payload = SomeBytes(1 << 20, 5);
  Store(payload);
  const auto found = Cache().Find(1 << 20, team_);
  ASSERT_TRUE(found.ok());
  Store(SomeBytes(1 << 20, 6));
  EXPECT_EQ(std::memcmp(found->payload.data(), payload.data(), payload.size()), 0);
}

TEST_F(WeightCacheTest, WritersAndReadersAtOnceSeeOnlyWholeFiles) {
  constexpr size_t kSize = 3 << 20;
  const std::vector<std::byte> payloads[] = {SomeBytes(kSize, 7), SomeBytes(kSize, 8)};
  std::atomic<int> writing = 2;
  std::vector<std::thread> writers;
  for (int writer = 0; writer < 2; ++writer) {
    writers.emplace_back([&, writer] {
      Team team(1);
      // Both keys go to one file, as two models in one place would.
      const WeightCache cache({path_}, absl::StrCat("key ", writer));
      for (int i = 0; i < 20; ++i) {
        EXPECT_TRUE(cache.Store(payloads[writer], team, nullptr).ok());
      }
      --writing;
    });
  }
  int found_some = 0;
  while (writing > 0) {
    for (int key = 0; key < 2; ++key) {
      const auto found = WeightCache({path_}, absl::StrCat("key ", key)).Find(kSize, team_);
      if (!found.ok()) {
        EXPECT_FALSE(absl::StrContains(found.status().message(), "damaged")) << found.status();
        EXPECT_FALSE(absl::StrContains(found.status().message(), "cut short")) << found.status();
        continue;
      }
      ++found_some;
      EXPECT_EQ(std::memcmp(found->payload.data(), payloads[key].data(), kSize), 0);
    }
  }
  for (std::thread& writer : writers) writer.join();
  EXPECT_GT(found_some, 0);
  EXPECT_EQ(FilesInFolder(), 1u);
}

TEST_F(WeightCacheTest, APlaceThatCannotBeWrittenIsPassedOver) {
  // Not even the superuser may create files there.
  const std::string unwritable = "/proc/int8.hocket-weights";
  const std::vector<std::byte> payload = SomeBytes(4096, 9);
  const std::string second = (folder_ / "new" / "folder" / "int8.hocket-weights").string();
  const WeightCache cache({unwritable, second}, "key");
  const auto path = cache.Store(payload, team_, nullptr);
  ASSERT_TRUE(path.ok()) << path.status();
  EXPECT_EQ(*path, second);
  const auto found = cache.Find(4096, team_);
  ASSERT_TRUE(found.ok()) << found.status();
  EXPECT_EQ(found->path, second);

  const auto nowhere = WeightCache({unwritable}, "key").Store(payload, team_, nullptr);
  EXPECT_TRUE(absl::StrContains(nowhere.status().message(), unwritable)) << nowhere.status();
}

TEST_F(WeightCacheTest, AFullDiskLeavesNothingBehind) {
  rlimit before = {};
  ASSERT_EQ(getrlimit(RLIMIT_FSIZE, &before), 0);
  std::signal(SIGXFSZ, SIG_IGN);
  const rlimit small = {1 << 20, before.rlim_max};
  ASSERT_EQ(setrlimit(RLIMIT_FSIZE, &small), 0);
  const auto path = Cache().Store(SomeBytes(4 << 20, 10), team_, nullptr);
  ASSERT_EQ(setrlimit(RLIMIT_FSIZE, &before), 0);
  EXPECT_FALSE(path.ok());
  EXPECT_EQ(FilesInFolder(), 0u);
}

TEST_F(WeightCacheTest, WhatDeadWritersLeftIsRemoved) {
  const fs::path old = path_ + ".unfinished-1-1";
  const fs::path young = path_ + ".unfinished-2-2";
  std::ofstream(old) << "x";
  std::ofstream(young) << "x";
  fs::last_write_time(old, fs::file_time_type::clock::now() - std::chrono::hours(1));
  Store(SomeBytes(4096, 11));
  EXPECT_FALSE(fs::exists(old));
  EXPECT_TRUE(fs::exists(young));
}

TEST_F(WeightCacheTest, TheModelsFolderComesFirstThenTheUsers) {
  const std::string model = (folder_ / "a-model").string();
  fs::create_directories(model);
  setenv("XDG_CACHE_HOME", "/somewhere", 1);
  EXPECT_EQ(WeightCachePaths("auto", model + "/", "int8", 0xab),
            (std::vector<std::string>{
                model + "//int8.hocket-weights",
                "/somewhere/hocket/weights/a-model-00000000000000ab-int8.hocket-weights"}));
  unsetenv("XDG_CACHE_HOME");
  setenv("HOME", "/home/somebody", 1);
  EXPECT_EQ(WeightCachePaths("auto", model, "int4", 1)[1],
            "/home/somebody/.cache/hocket/weights/a-model-0000000000000001-int4.hocket-weights");
  EXPECT_EQ(WeightCachePaths("/a/folder", model, "int8", 1),
            std::vector<std::string>{"/a/folder/a-model-0000000000000001-int8.hocket-weights"});
  EXPECT_TRUE(WeightCachePaths("off", model, "int8", 1).empty());
}

class CheckpointIdentityTest : public testing::Test {
 protected:
  void SetUp() override {
    folder_ = fs::temp_directory_path() / ("hocket-identity-" + std::to_string(getpid()));
    fs::remove_all(folder_);
    fs::copy(FixtureFolder("llama-mqa-sharded"), folder_);
    before_ = Identify();
  }
  void TearDown() override { fs::remove_all(folder_); }

  CheckpointIdentity Identify() const {
    const auto checkpoint = Checkpoint::Open(folder_.string());
    EXPECT_TRUE(checkpoint.ok()) << checkpoint.status();
    const auto identity = IdentifyCheckpoint(folder_.string(), *checkpoint);
    EXPECT_TRUE(identity.ok()) << identity.status();
    return *identity;
  }
  fs::path Shard() const { return folder_ / "model-00003-of-00005.safetensors"; }

  fs::path folder_;
  CheckpointIdentity before_;
};

TEST_F(CheckpointIdentityTest, IsTheSameForTheSameFiles) {
  EXPECT_EQ(Identify().text, before_.text);
  EXPECT_EQ(Identify().contents, before_.contents);
}

TEST_F(CheckpointIdentityTest, ChangesWithAFilesTime) {
  fs::last_write_time(Shard(), fs::last_write_time(Shard()) + std::chrono::seconds(1));
  EXPECT_NE(Identify().text, before_.text);
  EXPECT_EQ(Identify().contents, before_.contents);
}

TEST_F(CheckpointIdentityTest, ChangesWithTheConfiguration) {
  std::ofstream(folder_ / "config.json", std::ios::app) << "\n";
  EXPECT_NE(Identify().text, before_.text);
  EXPECT_NE(Identify().contents, before_.contents);
}

// Files whose time says nothing, as reproducible packages have them.
TEST_F(CheckpointIdentityTest, ChangesWithAnyTensorsContentsUnderTheSameTime) {
  const auto checkpoint = Checkpoint::Open(folder_.string());
  ASSERT_TRUE(checkpoint.ok());
  for (const SafetensorsFile& file : checkpoint->files()) {
    const auto time = fs::last_write_time(file.path());
    const int64_t size = static_cast<int64_t>(fs::file_size(file.path()));
    const auto mapped = MappedFile::Open(file.path());
    ASSERT_TRUE(mapped.ok());
    int64_t data = 0;
    std::memcpy(&data, mapped->bytes().data(), sizeof(data));
    for (const auto& [name, view] : file.tensors()) {
      // The header's length, the header, then tensors in the order of their addresses.
      const std::byte* first = nullptr;
      for (const auto& [other, its_view] : file.tensors()) {
        if (first == nullptr || its_view.bytes.data() < first) first = its_view.bytes.data();
      }
      const int64_t offset =
          8 + data + (view.bytes.data() - first) + static_cast<int64_t>(view.bytes.size()) / 2;
      ASSERT_LT(offset, size);
      std::fstream stream(file.path(), std::ios::in | std::ios::out | std::ios::binary);
      stream.seekg(offset);
      const char byte = static_cast<char>(stream.get());
      stream.seekp(offset);
      stream.put(static_cast<char>(byte ^ 1)).flush();
      fs::last_write_time(file.path(), time);
      EXPECT_NE(Identify().contents, before_.contents) << name;
      stream.seekp(offset);
      stream.put(byte).flush();
      fs::last_write_time(file.path(), time);
    }
  }
  EXPECT_EQ(Identify().text, before_.text);
}

}  // namespace
}  // namespace hocket
