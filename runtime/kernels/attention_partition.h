// One partition of one tile of queries: what AttentionPlan's tasks are made of, composed from the
// inner loops of attention_kernels.h. Any thread, each with scratch of its own.
#ifndef HOCKET_RUNTIME_KERNELS_ATTENTION_PARTITION_H_
#define HOCKET_RUNTIME_KERNELS_ATTENTION_PARTITION_H_

#include <cstddef>
#include <cstdint>

#include "runtime/kernels/attention_kernels.h"
#include "runtime/kernels/kv_shape.h"

namespace hocket {

// A thread's memory for a tile, laid out.
struct TileScratch {
  TileScratch(const KvShape& kv, int64_t queries, std::byte* memory);
  static int64_t Bytes(const KvShape& kv, int64_t queries);  // A multiple of 64.

  std::byte* queries;      // [queries][kOperandRowBytes]
  float* query_scales;     // [queries]
  float* scores;           // [queries][kScoreStride]
  float* weight_scales;    // [queries]
  AttentionState next;     // A partition's,
  AttentionState merged;   // and that of all before it.
  std::byte* last_values;  // [value_dim] pairs
  float* key_scales;       // [kPartitionTokens]
  float* value_scales;
};

// Where a partition of a sequence lies; none when `tokens` is 0.
struct PartitionPlace {
  const int32_t* blocks = nullptr;
  int32_t kv_head = 0;
  int32_t begin = 0;  // Position.
  int32_t tokens = 0;
};

struct PartitionWork {
  const KvShape& kv;
  const AttentionKernels& kernels;
  const TileScratch& scratch;
  KvLayer layer = {};
  int32_t kv_head = 0;
  const int32_t* blocks = nullptr;
  int32_t group = 0;  // Queries of a token; query q is of token q / group.
  int32_t tokens = 0;
  int32_t first_position = 0;
};

// Attends to positions [partition * kPartitionTokens, ...) of the tile's queries, which
// scratch.queries holds. Returns the first query that sees any of them; from it on, `state` is set.
// `next` is what the thread will probably read then, to be fetched ahead.
int32_t AttendPartition(const PartitionWork& work, int32_t partition, const PartitionPlace& next,
                        const AttentionState& state);

}  // namespace hocket

#endif  // HOCKET_RUNTIME_KERNELS_ATTENTION_PARTITION_H_
