// Attention over paged blocks against plain double-precision arithmetic, and its bits.
#include "runtime/kernels/attention.h"

#include <cmath>
#include <cstring>
#include <limits>
#include <numeric>
#include <string>

#include "gtest/gtest.h"
#include "tests/runtime/kernels/simd_targets.h"

namespace hocket {
namespace {

struct Shape {
  int32_t heads, kv_heads, head_dim, block_tokens;
};

// A sequence of `positions` tokens with every query's output.
class AttentionTest : public testing::TestWithParam<Shape> {
 protected:
  static constexpr int32_t kPositions = 71;
  static constexpr int32_t kBlocks = 12;

  AttentionTest() {
    layout_ = {shape_.kv_heads, shape_.head_dim, shape_.block_tokens};
    stride_ = (shape_.heads + 2 * shape_.kv_heads) * shape_.head_dim;
    qkv_ = RandomFloats(kPositions * stride_, 1, 0.7f);
    plain_keys_ = RandomFloats(int64_t{kPositions} * shape_.kv_heads * shape_.head_dim, 2);
    plain_values_ = RandomFloats(int64_t{kPositions} * shape_.kv_heads * shape_.head_dim, 3);
  }

  AttentionInput Input() const { return {layout_, shape_.heads, qkv_.data(), stride_}; }

  // The storage with the sequence in `blocks`; everything else is NaN.
  template <class T>
  void Fill(const std::vector<int32_t>& blocks, std::vector<T>& keys, std::vector<T>& values) {
    const auto put = [](float from, float& to) { to = from; };
    const auto put16 = [](float from, Bf16& to) { to = ToBf16(from); };
    const auto store = [&](float from, T& to) {
      if constexpr (sizeof(T) == 4) put(from, to);
      if constexpr (sizeof(T) == 2) put16(from, to);
    };
    keys.resize(kBlocks * layout_.BlockElements());
    values.resize(keys.size());
    for (T& key : keys) store(std::numeric_limits<float>::quiet_NaN(), key);
    for (T& value : values) store(std::numeric_limits<float>::quiet_NaN(), value);
    for (int32_t p = 0; p < kPositions; ++p) {
      for (int32_t head = 0; head < shape_.kv_heads; ++head) {
        const int64_t base = layout_.Offset(blocks[p / shape_.block_tokens], head);
        const int64_t slot = p % shape_.block_tokens;
        for (int32_t i = 0; i < shape_.head_dim; ++i) {
          const int64_t from = (int64_t{p} * shape_.kv_heads + head) * shape_.head_dim + i;
          store(plain_keys_[from], keys[base + i * shape_.block_tokens + slot]);
          store(plain_values_[from], values[base + slot * shape_.head_dim + i]);
        }
      }
    }
  }

  template <class T>
  std::vector<T> Run(const std::vector<T>& keys, const std::vector<T>& values,
                     const std::vector<int32_t>& blocks, int32_t tile_tokens) {
    std::vector<T> out(kPositions * shape_.heads * shape_.head_dim);
    for (int32_t p = 0; p < kPositions; p += tile_tokens) {
      const AttentionTile tile{blocks.data(), p, std::min(tile_tokens, kPositions - p), p};
      // Padding and scratch hold what the last tile left, here NaN.
      std::vector<float> scratch(AttentionScratchFloats(Input(), tile),
                                 std::numeric_limits<float>::quiet_NaN());
      for (int32_t head = 0; head < shape_.kv_heads; ++head) {
        Attend(Input(), tile, head, keys.data(), values.data(), scratch.data(), out.data());
      }
    }
    return out;
  }

  double Expected(int32_t position, int32_t head, int32_t element) const {
    const int32_t dim = shape_.head_dim;
    const int32_t kv_head = head / (shape_.heads / shape_.kv_heads);
    const auto at = [&](int32_t p, int32_t i) {
      return (int64_t{p} * shape_.kv_heads + kv_head) * dim + i;
    };
    double sum = 0, weighted = 0;
    for (int32_t p = 0; p <= position; ++p) {
      double score = 0;
      for (int32_t i = 0; i < dim; ++i) {
        score += double{qkv_[position * stride_ + head * dim + i]} * plain_keys_[at(p, i)];
      }
      sum += std::exp(score);
      weighted += std::exp(score) * plain_values_[at(p, element)];
    }
    return weighted / sum;
  }

  std::vector<int32_t> BlocksInOrder() const {
    std::vector<int32_t> blocks(kBlocks);
    std::iota(blocks.begin(), blocks.end(), 0);
    return blocks;
  }

  Shape shape_ = GetParam();
  KvLayout layout_;
  int64_t stride_ = 0;
  std::vector<float> qkv_, plain_keys_, plain_values_;
};

TEST_P(AttentionTest, AgreesWithPlainArithmetic) {
  std::vector<float> keys, values;
  Fill(BlocksInOrder(), keys, values);
  OnEveryTarget([&] {
    const auto out = Run(keys, values, BlocksInOrder(), 5);
    for (int32_t p = 0; p < kPositions; p += 7) {
      for (int32_t head = 0; head < shape_.heads; ++head) {
        for (const int32_t i : {0, shape_.head_dim / 2, shape_.head_dim - 1}) {
          ASSERT_NEAR(out[(p * shape_.heads + head) * shape_.head_dim + i], Expected(p, head, i),
                      3e-6)
              << "position " << p << " head " << head << " element " << i;
        }
      }
    }
  });
}

template <class T>
bool SameBits(const std::vector<T>& a, const std::vector<T>& b) {
  return a.size() == b.size() && std::memcmp(a.data(), b.data(), a.size() * sizeof(T)) == 0;
}

TEST_P(AttentionTest, BitsDependOnTheSequenceAlone) {
  const std::vector<int32_t> scattered = {7, 3, 11, 0, 5, 9, 1, 2, 4, 6, 8, 10};
  std::vector<float> keys, values, moved_keys, moved_values;
  Fill(BlocksInOrder(), keys, values);
  Fill(scattered, moved_keys, moved_values);
  std::vector<Bf16> keys16, values16, first16;
  Fill(BlocksInOrder(), keys16, values16);
  std::vector<float> first;
  OnEveryTarget([&] {
    for (const int32_t tile_tokens : {1, 2, 3, 7, 16}) {
      const auto out = Run(keys, values, BlocksInOrder(), tile_tokens);
      const auto moved = Run(moved_keys, moved_values, scattered, tile_tokens);
      const auto out16 = Run(keys16, values16, BlocksInOrder(), tile_tokens);
      if (first.empty()) first = out, first16 = out16;
      EXPECT_TRUE(SameBits(first, out)) << tile_tokens;
      EXPECT_TRUE(SameBits(first, moved)) << tile_tokens;
      EXPECT_TRUE(SameBits(first16, out16)) << tile_tokens;
    }
  });
}

INSTANTIATE_TEST_SUITE_P(Shapes, AttentionTest,
                         testing::Values(Shape{4, 2, 16, 16}, Shape{3, 3, 32, 16},
                                         Shape{9, 3, 64, 16}, Shape{8, 1, 80, 32},
                                         Shape{2, 1, 96, 16}, Shape{8, 2, 128, 48},
                                         Shape{3, 1, 24, 16}, Shape{1, 1, 8, 16}),
                         [](const auto& info) {
                           const Shape& s = info.param;
                           return std::to_string(s.heads) + "_heads_" + std::to_string(s.kv_heads) +
                                  "_kv_" + std::to_string(s.head_dim) + "_dim_" +
                                  std::to_string(s.block_tokens) + "_block";
                         });

}  // namespace
}  // namespace hocket
