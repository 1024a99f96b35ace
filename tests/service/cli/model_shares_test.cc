#include "service/cli/model_shares.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <filesystem>
#include <fstream>

namespace hocket {
namespace {

using ::testing::ElementsAre;

TEST(ShareThreads, AreEvenAndAtLeastOneEach) {
  using Own = std::vector<std::optional<int32_t>>;
  EXPECT_THAT(ShareThreads(8, Own{{}}), ElementsAre(8));
  EXPECT_THAT(ShareThreads(8, Own{{}, {}}), ElementsAre(4, 4));
  EXPECT_THAT(ShareThreads(8, Own{{}, {}, {}}), ElementsAre(3, 3, 2));
  EXPECT_THAT(ShareThreads(2, Own{{}, {}, {}}), ElementsAre(1, 1, 1));
}

TEST(ShareThreads, LeaveToTheOthersWhatAModelsOwnNumberLeaves) {
  using Own = std::vector<std::optional<int32_t>>;
  EXPECT_THAT(ShareThreads(8, Own{{}, 3, {}}), ElementsAre(3, 3, 2));
  EXPECT_THAT(ShareThreads(8, Own{12, {}}), ElementsAre(12, 1));
}

TEST(ShareKvBytes, AreEvenAndOpenWhereNothingIsSaid) {
  using Own = std::vector<std::optional<int64_t>>;
  EXPECT_THAT(ShareKvBytes(0, Own{{}, 100}), ElementsAre(0, 100));
  EXPECT_THAT(ShareKvBytes(900, Own{{}, 100, {}}), ElementsAre(400, 100, 400));
  // None is left, which must not mean that there is no limit.
  EXPECT_THAT(ShareKvBytes(100, Own{{}, 100}), ElementsAre(1, 100));
}

TEST(ExpectedWeightBytes, FollowTheFilesAndThePrecision) {
  const std::string dir = testing::TempDir() + "/expected_weights";
  std::filesystem::create_directories(dir);
  std::ofstream(dir + "/a.safetensors") << std::string(600, 'x');
  std::ofstream(dir + "/b.safetensors") << std::string(400, 'x');
  std::ofstream(dir + "/tokenizer.json") << std::string(5000, 'x');
  EXPECT_EQ(ExpectedWeightBytes(dir, Precision::kBf16), 1000);
  EXPECT_EQ(ExpectedWeightBytes(dir, Precision::kF32), 2000);
  EXPECT_EQ(ExpectedWeightBytes(dir, Precision::kInt8), 550);
  EXPECT_EQ(ExpectedWeightBytes(dir + "/none", Precision::kF32), 0);
}

ModelInfo Taking(int64_t weights, int64_t kv) {
  ModelInfo info;
  info.weight_bytes = weights;
  info.kv_cache_bytes = kv;
  return info;
}

TEST(MemoryShares, OneModelAloneHasAll) {
  const SharedMemory shared = MemoryShares({{.expected_weight_bytes = 100}}, 1000).Next(1000);
  EXPECT_EQ(shared.promised_bytes, 0);
  EXPECT_EQ(shared.expected_bytes, 0);
  EXPECT_EQ(shared.kv_shares, 1);
}

TEST(MemoryShares, LeaveRoomForWhatComesAndKeepWhatWasPromised) {
  MemoryShares shares({{.expected_weight_bytes = 100},
                       {.expected_weight_bytes = 200, .kv_cache_bytes = 50},
                       {.expected_weight_bytes = 300}},
                      1000);
  SharedMemory shared = shares.Next(1000);
  EXPECT_EQ(shared.expected_bytes, 200 + 50 + 300);
  EXPECT_EQ(shared.kv_shares, 2);  // The second has its own.
  shares.Loaded(Taking(100, 150));
  // The weights are in use by now, the KV cache is not: 900 look free, and 750 are.
  shared = shares.Next(900);
  EXPECT_EQ(shared.promised_bytes, 150);
  EXPECT_EQ(shared.expected_bytes, 300);
  shares.Loaded(Taking(200, 50));
  shared = shares.Next(480);  // Less than was planned with: others took it.
  EXPECT_EQ(shared.promised_bytes, 0);
  EXPECT_EQ(shared.kv_shares, 1);
}

}  // namespace
}  // namespace hocket
