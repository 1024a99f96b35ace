// The KV storage's size and its blocks.
#include "runtime/model/kv_storage.h"

#include <cstring>
#include <set>
#include <vector>

#include "absl/status/status.h"
#include "gtest/gtest.h"

namespace hocket {
namespace {

ArchitectureSpec Spec(int32_t layers, int32_t kv_heads, int32_t head_dim) {
  ArchitectureSpec spec;
  spec.layers = layers;
  spec.kv_heads = kv_heads;
  spec.head_dim = head_dim;
  spec.max_context_tokens = 1024;
  return spec;
}

TEST(KvStorage, CopyBlockCopiesEveryLayerAndNothingElse) {
  for (const KvType type : {KvType::kF32, KvType::kBf16, KvType::kInt8}) {
    const KvShape shape{type, 2, 24, 16};
    auto storage = KvStorage::Allocate({shape, 3, 5});
    ASSERT_TRUE(storage.ok());
    const auto fill = [&](int32_t layer, int32_t block, int value) {
      const KvLayer view = storage->Layer(layer);
      std::memset(view.Head(shape, block, 0), value, shape.BlockBytes());
    };
    const auto all = [&](int32_t layer, int32_t block, int value) {
      const std::vector<std::byte> expected(shape.BlockBytes(), std::byte(value));
      return std::memcmp(storage->Layer(layer).Head(shape, block, 0), expected.data(),
                         expected.size()) == 0;
    };
    for (int32_t layer = 0; layer < 3; ++layer) {
      for (int32_t block = 0; block < 5; ++block) fill(layer, block, 10 * layer + block);
    }
    storage->CopyBlock(1, 3);
    storage->CopyBlock(2, 2);
    for (int32_t layer = 0; layer < 3; ++layer) {
      for (int32_t block = 0; block < 5; ++block) {
        EXPECT_TRUE(all(layer, block, 10 * layer + (block == 3 ? 1 : block))) << layer << block;
      }
    }
  }
}

TEST(KvStorage, TypesTakeTheirShareOfMemory) {
  const ArchitectureSpec spec = Spec(30, 3, 64);
  const auto blocks = [&](KvType type) {
    return PlanKvStorage(spec, type, 16, int64_t{1} << 30, 64, int64_t{1} << 33)->blocks;
  };
  const int32_t f32 = blocks(KvType::kF32);
  EXPECT_NEAR(f32, (1 << 30) / (30 * 3 * 64 * 16 * 2 * 4), f32 * 0.03);
  EXPECT_NEAR(blocks(KvType::kBf16), 2 * f32, f32 * 0.05);
  // A scale a token and head, for keys and for values.
  EXPECT_NEAR(blocks(KvType::kInt8), 4 * f32 * 64 / 68, f32 * 0.1);
}

TEST(KvStorage, ALayerOfManyBlocksSpreadsOverTheCachesSets) {
  // 2^k bytes a block would put them all into the same sets.
  const KvStorageSize size{{KvType::kBf16, 8, 64, 16}, 16, 4};
  std::set<int64_t> pages;
  for (int64_t block = 0; block < 32; ++block) pages.insert(block * size.BlockBytes() / 4096 % 32);
  EXPECT_EQ(pages.size(), 32u);
  EXPECT_LT(size.BlockBytes(), 16 * size.shape.BlockBytes() * 1.02);
  EXPECT_EQ(size.Bytes(), 4 * size.BlockBytes());
}

TEST(KvStorage, AutomaticSizeIsWhatSequencesCanUseOrMemoryAllows) {
  const ArchitectureSpec spec = Spec(2, 1, 64);
  const auto plan = [&](int64_t cache_bytes, int32_t sequences, int64_t available) {
    return PlanKvStorage(spec, KvType::kBf16, 16, cache_bytes, sequences, available);
  };
  EXPECT_EQ(plan(0, 4, int64_t{1} << 33)->blocks, 4 * 64);
  const auto limited = plan(0, 1000, 1 << 20);
  ASSERT_TRUE(limited.ok());
  EXPECT_LE(limited->Bytes(), (1 << 20) * 3 / 4);
  EXPECT_GT(limited->Bytes() + limited->BlockBytes(), (1 << 20) * 3 / 4);
}

TEST(KvStorage, TooLittleOrTooMuchIsRefusedWithTheNumbers) {
  const ArchitectureSpec spec = Spec(2, 1, 64);
  const auto none = PlanKvStorage(spec, KvType::kBf16, 16, 100, 1, 1 << 20);
  EXPECT_EQ(none.status().code(), absl::StatusCode::kInvalidArgument);
  EXPECT_NE(none.status().message().find("8192"), std::string::npos) << none.status();
  const auto much = PlanKvStorage(spec, KvType::kBf16, 16, 1 << 21, 1, 1 << 20);
  EXPECT_EQ(much.status().code(), absl::StatusCode::kInvalidArgument);
  EXPECT_NE(much.status().message().find("1048576"), std::string::npos) << much.status();
}

}  // namespace
}  // namespace hocket
