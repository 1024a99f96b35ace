// The inner loops of attention for one instruction set and one type of operands: what
// paged_attention.cc composes. Stateless; any thread. Lengths, offsets and strides are in bytes
// unless they say otherwise, "units" are runs of kUnitTokens positions, which never cross a block.
#ifndef HOCKET_RUNTIME_KERNELS_ATTENTION_KERNELS_H_
#define HOCKET_RUNTIME_KERNELS_ATTENTION_KERNELS_H_

#include <cstddef>
#include <cstdint>
#include <string>

#include "runtime/kernels/kv_shape.h"

namespace hocket {

inline constexpr int32_t kPartitionTokens = 256;
inline constexpr int32_t kUnitTokens = 16;
inline constexpr int32_t kPartitionUnits = kPartitionTokens / kUnitTokens;
inline constexpr int32_t kMaxHeadDim = 256;
// Of a row of queries, scores or weights. Not a power of 2, or all rows would meet in few of the
// cache's sets.
inline constexpr int64_t kOperandRowBytes = 1024 + 64;
inline constexpr int64_t kScoreStride = kOperandRowBytes / 4;  // Floats.
inline constexpr int32_t kMaxQueries = 6;                      // That a kernel takes at once.
inline constexpr int32_t kMaxUnits = 4;  // Of positions or of output elements, likewise.

// Scores of some queries against up to kMaxUnits units of keys: summed over head_dim in order.
struct ScoreWork {
  const std::byte* queries = nullptr;      // [queries][kOperandRowBytes], as round_query made them.
  const float* query_scales = nullptr;     // [queries], int8 only.
  const std::byte* const* keys = nullptr;  // One a unit: [steps][key_stride].
  int64_t key_stride = 0;
  int32_t steps = 0;                  // Along head_dim: elements of f32, else pairs.
  const float* key_scales = nullptr;  // [units * kUnitTokens], int8 only.
  float* scores = nullptr;            // [queries][kScoreStride]
};

// Sums of values, weighted, for some queries: over positions in order.
struct WeighWork {
  const std::byte* weights = nullptr;        // [queries][kOperandRowBytes], as softmax left them.
  const float* weight_scales = nullptr;      // [queries], int8 only.
  const std::byte* const* values = nullptr;  // One a unit: [steps of a unit][value_stride].
  int64_t value_offset = 0;                  // Of the first element to compute.
  int64_t value_stride = 0;
  int32_t steps = 0;                // Along positions, without `last`.
  const std::byte* last = nullptr;  // One step more, laid out as the others, or null.
  float* out = nullptr;             // [queries][out_stride] floats
  int64_t out_stride = 0;
  // Keys that will be wanted next, to be fetched unit by unit; may be none.
  const struct UnitFetch* fetch = nullptr;
};

// Memory to fetch ahead, while something else is computed: the hardware foresees nothing beyond a
// page, and blocks lie anywhere.
struct UnitFetch {
  int32_t units = 0;
  const std::byte* begin[kPartitionUnits];
  int64_t bytes = 0;  // A unit's, as far apart as `step`.
  int64_t step = 64;

  // Inlined by force: GCC takes a function that only fetches for one without effect.
  [[gnu::always_inline]] void Fetch(int32_t unit) const {
    if (unit >= units) return;
    // Into the second level: the first has no room for as much as it takes to hide the latency.
    for (int64_t i = 0; i < bytes; i += step) __builtin_prefetch(begin[unit] + i, 0, 2);
  }
};

// Turns a query's scores into weights 2^(score - largest), in place and in the operands' type, for
// the `visible` first positions, and zeros after them up to `padded`.
struct SoftmaxWork {
  float* scores = nullptr;  // [kPartitionTokens]
  int32_t visible = 0;      // At least 1.
  int32_t padded = 0;       // A multiple of kUnitTokens, at least `visible`.
  // [kPartitionTokens] that multiply the weights but not their sum; int8 only.
  const float* value_scales = nullptr;
  float largest = 0;       // Results: the largest score,
  float sum = 0;           // the weights' sum,
  float weight_scale = 0;  // and what makes weights of the operands, int8 only.
};

// Operands are, by the storage's type: f32 itself; for bf16 bf16, or f32 where there are no bf16
// products; for int8 16-bit integers, x = scale * q, whose products sum up exactly in 32 bits.
struct AttentionKernels {
  std::string name;
  // A row of queries from f32 to the operands' type. Returns its scale, int8 only.
  float (*round_query)(const float* from, int32_t head_dim, std::byte* to);
  // By queries - 1 and units - 1.
  void (*score[kMaxQueries][kMaxUnits])(const ScoreWork& work);
  void (*weigh[kMaxQueries][kMaxUnits])(const WeighWork& work);
  void (*softmax)(SoftmaxWork& work);
};

// The best this CPU has. Fixed for the process's life, but for tests that choose a SIMD target.
const AttentionKernels& BestAttentionKernels(KvType type);
// With Highway's vectors.
const AttentionKernels& PortableAttentionKernels(KvType type);
// With AVX-512's dot products of bf16 and of integers; null where the CPU lacks either, and for
// f32.
const AttentionKernels* Avx512Bf16AttentionKernels(KvType type);

// Results of partitions, merged in order. A query's state is its largest score (in powers of 2),
// the sum of its weights and [dim] weighted values.
struct AttentionState {
  float* largest = nullptr;   // [queries]
  float* sums = nullptr;      // [queries]
  float* weighted = nullptr;  // [queries][dim]
};
void MergePartition(int32_t queries, int64_t dim, const AttentionState& next,
                    const AttentionState& merged);
// out [elements] = weighted / sum.
void FinishAttention(const float* weighted, float sum, int64_t elements, float* out);

}  // namespace hocket

#endif  // HOCKET_RUNTIME_KERNELS_ATTENTION_KERNELS_H_
