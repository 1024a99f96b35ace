// Causal attention of a run of query tokens over a sequence's paged keys and values. Stateless; the
// caller spreads (tile, kv head) pairs over threads and gives each thread its own scratch.
//
// A query's result depends on its own sequence alone, bit for bit: scores are summed over head_dim
// one element after another, the softmax's sum is kept in 16 lanes by position, and values are
// added in the order of positions, whatever the tile's size, the vectors' width or the blocks'
// places.
#ifndef HOCKET_RUNTIME_KERNELS_ATTENTION_H_
#define HOCKET_RUNTIME_KERNELS_ATTENTION_H_

#include <cstdint>

#include "runtime/kernels/bf16.h"
#include "runtime/kernels/kv_layout.h"

namespace hocket {

// Consecutive tokens of one sequence, whose keys and values are already stored.
struct AttentionTile {
  const int32_t* blocks = nullptr;  // The sequence's block table.
  int32_t token_begin = 0;          // Row of the first query in `qkv` and `out`.
  int32_t token_count = 0;
  int32_t first_position = 0;
};

struct AttentionInput {
  KvLayout layout;
  int32_t heads = 0;           // A multiple of layout.kv_heads.
  const float* qkv = nullptr;  // [tokens][qkv_stride]; queries first, rotated and scaled.
  int64_t qkv_stride = 0;
};

// Floats of scratch that a tile needs.
int64_t AttentionScratchFloats(const AttentionInput& input, const AttentionTile& tile);

// Query tokens a tile may have so that it needs at most `scratch_floats`, at least 1.
int32_t AttentionTileTokens(const AttentionInput& input, int32_t positions, int64_t scratch_floats);

// Attends with the query heads of `kv_head`. out is [tokens][heads * head_dim].
void Attend(const AttentionInput& input, const AttentionTile& tile, int32_t kv_head,
            const float* keys, const float* values, float* scratch, float* out);
void Attend(const AttentionInput& input, const AttentionTile& tile, int32_t kv_head,
            const Bf16* keys, const Bf16* values, float* scratch, Bf16* out);

}  // namespace hocket

#endif  // HOCKET_RUNTIME_KERNELS_ATTENTION_H_
