// A sequence with random projections, run through an AttentionPlan in whatever chunks, and what
// plain double-precision arithmetic makes of it.
#ifndef HOCKET_TESTS_RUNTIME_KERNELS_ATTENTION_HARNESS_H_
#define HOCKET_TESTS_RUNTIME_KERNELS_ATTENTION_HARNESS_H_

#include <algorithm>
#include <cmath>
#include <cstring>
#include <functional>
#include <numeric>
#include <string>
#include <vector>

#include "gtest/gtest.h"
#include "runtime/kernels/paged_attention.h"
#include "runtime/kernels/rotary.h"
#include "tests/runtime/kernels/simd_targets.h"

namespace hocket {

struct AttentionShape {
  int32_t heads, kv_heads, head_dim, block_tokens;
  KvType type;

  KvShape Kv() const { return {type, kv_heads, head_dim, block_tokens}; }
  int64_t QkvSize() const { return (heads + 2 * kv_heads) * head_dim; }
  int64_t OutSize() const { return heads * head_dim; }
  std::string Name() const {
    const char* const types[] = {"f32", "bf16", "int8"};
    return std::string(types[static_cast<int>(type)]) + "_" + std::to_string(heads) + "_heads_" +
           std::to_string(kv_heads) + "_kv_" + std::to_string(head_dim) + "_dim_" +
           std::to_string(block_tokens) + "_block";
  }
};

// One layer's storage, all bytes as `garbage` until written.
class Storage {
 public:
  Storage(const KvShape& shape, int32_t blocks, uint8_t garbage = 0)
      : bytes_(blocks * shape.BlockBytes() + 64, std::byte{garbage}), stride_(shape.BlockBytes()) {}
  KvLayer Layer() {
    const auto address = reinterpret_cast<uintptr_t>(bytes_.data());
    return {bytes_.data() + (64 - address % 64), stride_};
  }

 private:
  std::vector<std::byte> bytes_;
  int64_t stride_;
};

class TestSequence {
 public:
  TestSequence(const AttentionShape& shape, int32_t positions, uint32_t seed, float scale = 3.0f)
      : shape_(shape),
        positions_(positions),
        qkv_(RandomFloats(positions * shape.QkvSize(), seed, scale)),
        bias_(RandomFloats(shape.QkvSize(), 99, 0.3f)) {
    std::vector<float> frequencies;
    const int32_t half = shape.head_dim / 2;
    for (int32_t i = 0; i < half; ++i) {
      frequencies.push_back(static_cast<float>(std::pow(10000.0, -2.0 * i / shape.head_dim)));
    }
    cosines_.resize(positions * half);
    sines_.resize(positions * half);
    for (int32_t p = 0; p < positions; ++p) {
      RotaryAngles(frequencies, p, &cosines_[p * half], &sines_[p * half]);
    }
  }

  const AttentionShape& shape() const { return shape_; }
  int32_t positions() const { return positions_; }
  int32_t blocks() const { return (positions_ + shape_.block_tokens - 1) / shape_.block_tokens; }
  std::vector<float>& qkv() { return qkv_; }

  AttentionLayer Layer(Storage& storage, std::vector<float>& out) const {
    AttentionLayer layer;
    layer.kv = storage.Layer();
    layer.qkv = qkv_.data();
    layer.qkv_stride = shape_.QkvSize();
    layer.bias = bias_.data();
    layer.cosines = cosines_.data();
    layer.sines = sines_.data();
    layer.out = out.data();
    layer.out_stride = shape_.OutSize();
    return layer;
  }

  // Appends what a step needs of some of its tokens.
  void Append(int32_t first, int32_t count, std::vector<float>& qkv, std::vector<float>& cosines,
              std::vector<float>& sines) const {
    const auto append = [&](const std::vector<float>& from, int64_t width, std::vector<float>& to) {
      to.insert(to.end(), from.begin() + first * width, from.begin() + (first + count) * width);
    };
    append(qkv_, shape_.QkvSize(), qkv);
    append(cosines_, shape_.head_dim / 2, cosines);
    append(sines_, shape_.head_dim / 2, sines);
  }

  // With biases, rotated: element of a head of queries, keys or values.
  double Projected(int32_t position, int32_t head, int32_t element) const {
    const int32_t dim = shape_.head_dim;
    const int32_t half = dim / 2;
    const auto at = [&](int32_t i) {
      return double{qkv_[position * shape_.QkvSize() + head * dim + i]} + bias_[head * dim + i];
    };
    if (head >= shape_.heads + shape_.kv_heads) return at(element);
    const int32_t pair = element % half;
    const double cosine = cosines_[position * half + pair];
    const double sine = sines_[position * half + pair];
    return element < half ? at(pair) * cosine - at(pair + half) * sine
                          : at(pair + half) * cosine + at(pair) * sine;
  }

  // The attended values of one head at one position.
  std::vector<double> Expected(int32_t position, int32_t head) const {
    const int32_t dim = shape_.head_dim;
    const int32_t kv_head = head / (shape_.heads / shape_.kv_heads);
    std::vector<double> query(dim), weighted(dim), scores(position + 1);
    for (int32_t i = 0; i < dim; ++i) query[i] = Projected(position, head, i);
    for (int32_t p = 0; p <= position; ++p) {
      for (int32_t i = 0; i < dim; ++i) {
        scores[p] += query[i] * Projected(p, shape_.heads + kv_head, i);
      }
      scores[p] /= std::sqrt(static_cast<double>(dim));
    }
    const double largest = *std::max_element(scores.begin(), scores.end());
    double sum = 0;
    for (int32_t p = 0; p <= position; ++p) {
      const double weight = std::exp(scores[p] - largest);
      sum += weight;
      for (int32_t i = 0; i < dim; ++i) {
        weighted[i] += weight * Projected(p, shape_.heads + shape_.kv_heads + kv_head, i);
      }
    }
    for (double& element : weighted) element /= sum;
    return weighted;
  }

 private:
  AttentionShape shape_;
  int32_t positions_;
  std::vector<float> qkv_, bias_, cosines_, sines_;
};

// Runs a step's phases, one after another, tasks in the order given.
enum class TaskOrder { kForward, kBackward };
inline void RunPhases(const AttentionPlan& plan, const AttentionLayer& layer,
                      TaskOrder order = TaskOrder::kForward) {
  std::vector<std::byte> memory(plan.scratch_bytes() + 64, std::byte{0xff});
  std::byte* const scratch = memory.data() + (64 - reinterpret_cast<uintptr_t>(memory.data()) % 64);
  for (int64_t i = 0; i < plan.stores(); ++i) plan.Store(i, layer);
  for (int64_t i = 0; i < plan.tasks(); ++i) {
    plan.Run(order == TaskOrder::kForward ? i : plan.tasks() - 1 - i, layer, scratch);
  }
  for (int64_t i = 0; i < plan.merges(); ++i) plan.Merge(i, layer);
}

struct RunSettings {
  std::vector<int32_t> chunks =
      {};                   // Tokens of each step; the last is repeated. Empty: all at once.
  int32_t threads = 1;      // That the plan shares out for.
  uint8_t garbage = 0;      // What unused slots hold.
  uint32_t block_seed = 0;  // Shuffles the blocks, unless 0.
  TaskOrder order = TaskOrder::kForward;
};

inline AttentionPlan MakePlan(const AttentionShape& shape, int32_t threads, int32_t positions) {
  auto plan = AttentionPlan::Create({shape.Kv(), shape.heads, threads, positions, positions});
  EXPECT_TRUE(plan.ok()) << plan.status();
  return *std::move(plan);
}

// Attended values [positions][heads * head_dim].
inline std::vector<float> Attended(const TestSequence& sequence, const RunSettings& settings) {
  const AttentionShape& shape = sequence.shape();
  std::vector<float> out(sequence.positions() * shape.OutSize(), NAN);
  Storage storage(shape.Kv(), sequence.blocks() + 3, settings.garbage);
  std::vector<int32_t> blocks(sequence.blocks() + 3);
  std::iota(blocks.begin(), blocks.end(), 0);
  if (settings.block_seed != 0) {
    std::shuffle(blocks.begin(), blocks.end(), std::mt19937(settings.block_seed));
  }
  AttentionPlan plan = MakePlan(shape, settings.threads, sequence.positions());
  const AttentionLayer layer = sequence.Layer(storage, out);
  size_t step = 0;
  for (int32_t position = 0; position < sequence.positions(); ++step) {
    const int32_t left = sequence.positions() - position;
    const int32_t count =
        settings.chunks.empty()
            ? left
            : std::min(left, settings.chunks[std::min(step, settings.chunks.size() - 1)]);
    plan.Clear();
    plan.Add({blocks.data(), position, count, position});
    plan.Finish();
    RunPhases(plan, layer, settings.order);
    position += count;
  }
  return out;
}

inline bool SameBits(const std::vector<float>& a, const std::vector<float>& b) {
  return a.size() == b.size() && std::memcmp(a.data(), b.data(), a.size() * sizeof(float)) == 0;
}

}  // namespace hocket

#endif  // HOCKET_TESTS_RUNTIME_KERNELS_ATTENTION_HARNESS_H_
