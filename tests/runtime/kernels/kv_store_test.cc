// Keys and values on their way into a block: what each type keeps of them, and where.
#include "runtime/kernels/kv_store.h"

#include <cmath>
#include <cstring>
#include <limits>
#include <vector>

#include "gtest/gtest.h"
#include "runtime/kernels/bf16.h"
#include "tests/runtime/kernels/simd_targets.h"

namespace hocket {
namespace {

constexpr int32_t kDim = 40;

// One kv head's part of a block.
class Block {
 public:
  explicit Block(KvType type, int32_t block_tokens = 32, uint8_t filled = 0xa5)
      : shape_{type, 1, kDim, block_tokens}, bytes_(shape_.HeadBytes(), std::byte{filled}) {}

  void Store(int32_t slot, const std::vector<float>& key, const std::vector<float>& value) {
    StoreKeyAndValue(shape_, bytes_.data(), slot, key.data(), value.data());
  }
  const KvShape& shape() const { return shape_; }
  std::vector<std::byte>& bytes() { return bytes_; }

  // By the layout that kv_shape.h describes.
  float Key(int32_t slot, int32_t i) const {
    if (shape_.type == KvType::kF32) return At<float>(0, int64_t{i} * shape_.block_tokens + slot);
    const int64_t index = (int64_t{i / 2} * shape_.block_tokens + slot) * 2 + i % 2;
    if (shape_.type == KvType::kBf16) return ToF32(At<Bf16>(0, index));
    return KeyScale(slot) * At<int8_t>(0, index);
  }
  float Value(int32_t slot, int32_t i) const {
    const int64_t begin = shape_.ValuesOffset();
    if (shape_.type == KvType::kF32) return At<float>(begin, slot * 48 + i);
    const int64_t index = (slot / 2 * 48 + i) * 2 + slot % 2;
    if (shape_.type == KvType::kBf16) return ToF32(At<Bf16>(begin, index));
    return ValueScale(slot) * At<int8_t>(begin, index);
  }
  float KeyScale(int32_t slot) const { return At<float>(shape_.KeyScalesOffset(), slot); }
  float ValueScale(int32_t slot) const { return At<float>(shape_.ValueScalesOffset(), slot); }

 private:
  template <class T>
  T At(int64_t begin, int64_t index) const {
    T value;
    std::memcpy(&value, bytes_.data() + begin + index * sizeof(T), sizeof(T));
    return value;
  }

  KvShape shape_;
  std::vector<std::byte> bytes_;
};

class KvStoreTest : public testing::TestWithParam<KvType> {};

TEST_P(KvStoreTest, KeepsWhatTheTypeCanHold) {
  OnEveryTarget([&] {
    Block block(GetParam());
    for (int32_t slot = 0; slot < 32; ++slot) {
      const auto key = RandomFloats(kDim, slot, 3.0f);
      const auto value = RandomFloats(kDim, slot + 100, 0.01f);
      block.Store(slot, key, value);
      for (int32_t i = 0; i < kDim; ++i) {
        switch (GetParam()) {
          case KvType::kF32:
            ASSERT_EQ(block.Key(slot, i), key[i]);
            ASSERT_EQ(block.Value(slot, i), value[i]);
            break;
          case KvType::kBf16:
            ASSERT_EQ(block.Key(slot, i), ToF32(ToBf16(key[i])));
            ASSERT_EQ(block.Value(slot, i), ToF32(ToBf16(value[i])));
            break;
          case KvType::kInt8:
            ASSERT_NEAR(block.Key(slot, i), key[i], 0.501 * block.KeyScale(slot));
            ASSERT_NEAR(block.Value(slot, i), value[i], 0.501 * block.ValueScale(slot));
        }
      }
      if (GetParam() == KvType::kInt8) {
        float most = 0;
        for (const float element : key) most = std::max(most, std::abs(element));
        EXPECT_FLOAT_EQ(block.KeyScale(slot), most / 127);
      }
    }
  });
}

TEST_P(KvStoreTest, WhatIsNotFiniteBecomesTheLargestFiniteValue) {
  const float infinity = std::numeric_limits<float>::infinity();
  OnEveryTarget([&] {
    std::vector<float> wild(kDim, 1.0f);
    wild[0] = infinity;
    wild[1] = -infinity;
    wild[2] = std::nanf("");
    wild[3] = std::numeric_limits<float>::max();
    wild[4] = -wild[3];
    wild[39] = std::nanf("");
    Block block(GetParam());
    block.Store(3, wild, wild);
    for (int32_t i = 0; i < kDim; ++i) {
      EXPECT_TRUE(std::isfinite(block.Key(3, i))) << i;
      EXPECT_TRUE(std::isfinite(block.Value(3, i))) << i;
    }
    EXPECT_GT(block.Key(3, 0), 3e38f);
    EXPECT_LT(block.Value(3, 1), -3e38f);
    EXPECT_GT(block.Value(3, 3), 3e38f);
  });
}

TEST_P(KvStoreTest, ZerosAndTheSmallestNumbersStayFinite) {
  OnEveryTarget([&] {
    Block block(GetParam());
    const std::vector<float> zeros(kDim, 0.0f), tiny(kDim, 1e-44f);
    block.Store(0, zeros, tiny);
    for (int32_t i = 0; i < kDim; ++i) {
      EXPECT_EQ(block.Key(0, i), 0.0f);
      EXPECT_NEAR(block.Value(0, i), 0.0f, 1e-40f);
    }
  });
}

TEST_P(KvStoreTest, TouchesNoOtherSlot) {
  Block block(GetParam());
  const auto key = RandomFloats(kDim, 1), value = RandomFloats(kDim, 2);
  block.Store(5, key, value);
  std::vector<std::byte> before = block.bytes();
  block.Store(4, value, key);
  block.Store(6, value, key);
  for (int32_t i = 0; i < kDim; ++i) {
    EXPECT_NEAR(block.Key(5, i), key[i], 0.01);
    EXPECT_NEAR(block.Value(5, i), value[i], 0.01);
  }
  // Stored again as it was, the neighbours' bytes aside.
  int64_t changed = 0;
  for (size_t i = 0; i < before.size(); ++i) changed += before[i] != block.bytes()[i] ? 1 : 0;
  const int64_t scales = GetParam() == KvType::kInt8 ? 16 : 0;
  EXPECT_LE(changed, 4 * kDim * KvElementBytes(GetParam()) + scales);
}

INSTANTIATE_TEST_SUITE_P(Types, KvStoreTest,
                         testing::Values(KvType::kF32, KvType::kBf16, KvType::kInt8));

}  // namespace
}  // namespace hocket
