// Causal attention of a step's rows over their paged keys and values, from the fused projection to
// attended values: biases, rotary, storing keys and values, and attention. An AttentionPlan is
// built once a step and serves every layer; the members of a team share its stores, tasks and
// merges out among them.
//
// A query's result depends on its own sequence and position alone, bit for bit: positions are cut
// into partitions of fixed length, each gives (largest score, sum, weighted values) by sums in
// a fixed order, and partitions are merged in order. Tiles, chunks, threads, blocks' places and
// what lies in unused slots change nothing. CPUs with bf16 dot products round queries and softmax
// weights to bf16 unless the storage is f32; others keep both in f32, so their bits differ.
#ifndef HOCKET_RUNTIME_KERNELS_PAGED_ATTENTION_H_
#define HOCKET_RUNTIME_KERNELS_PAGED_ATTENTION_H_

#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "runtime/kernels/aligned_buffer.h"
#include "runtime/kernels/kv_shape.h"

namespace hocket {

struct AttentionKernels;
struct AttentionState;
struct HeadRotation;
struct PartitionPlace;
struct TileScratch;

struct AttentionSettings {
  KvShape kv;
  int32_t heads = 0;  // A multiple of kv.kv_heads.
  int32_t threads = 1;
  int32_t max_step_tokens = 0;
  int32_t max_context_tokens = 0;
};

// Consecutive tokens of one sequence.
struct AttentionRow {
  const int32_t* blocks = nullptr;  // Its block table; must last as long as the plan is used.
  int32_t token_begin = 0;          // Row of its first token in qkv and out.
  int32_t token_count = 0;
  int32_t first_position = 0;
};

// What a layer gives a plan to work on.
struct AttentionLayer {
  KvLayer kv;
  const float* qkv = nullptr;  // [tokens][qkv_stride]: queries, keys, values, each by head.
  int64_t qkv_stride = 0;
  const float* bias = nullptr;  // [(heads + 2 * kv_heads) * head_dim], or null.
  // [tokens][head_dim / 2]. Element i of a head turns with element i + head_dim / 2 (Su et al.,
  // 2021; the layout of Hugging Face's Llama).
  const float* cosines = nullptr;
  const float* sines = nullptr;
  float* out = nullptr;  // [tokens][out_stride], heads * head_dim of them.
  int64_t out_stride = 0;
};

// A layer takes three phases, with a barrier between those that are not empty:
//   Store for each of stores(): keys and values of rows too long for one task to store them;
//   Run for each of tasks(), best claimed one by one: they are in falling order of size;
//   Merge for each of merges(): rows whose partitions several tasks share.
class AttentionPlan {
 public:
  AttentionPlan() = default;
  // Allocates all that a step can need. RESOURCE_EXHAUSTED when there is no memory for it.
  static absl::StatusOr<AttentionPlan> Create(const AttentionSettings& settings);

  // Lays out a step's rows, without allocating: Clear, Add for each row, Finish.
  void Clear();
  void Add(const AttentionRow& row);
  void Finish();

  int64_t scratch_bytes() const { return scratch_bytes_; }  // Of each thread; aligned to 64.
  int64_t bytes() const;                                    // Held by the plan itself.
  static std::string Kernel(KvType type);                   // "avx512_bf16", "AVX2".

  int64_t stores() const { return static_cast<int64_t>(stores_.size()); }
  int64_t tasks() const { return static_cast<int64_t>(tasks_.size()) * settings_.kv.kv_heads; }
  int64_t merges() const { return static_cast<int64_t>(merges_.size()) * settings_.kv.kv_heads; }
  void Store(int64_t index, const AttentionLayer& layer) const;
  void Run(int64_t index, const AttentionLayer& layer, std::byte* scratch) const;
  void Merge(int64_t index, const AttentionLayer& layer) const;

 private:
  // Consecutive tokens of a row whose queries are attended together.
  struct Tile {
    AttentionRow row;       // token_begin, token_count and first_position are the tile's.
    bool stores = false;    // Its tasks store its tokens' keys and values.
    int64_t partials = -1;  // Where its partitions' results go when tasks share them.
    int32_t positions() const { return row.first_position + row.token_count; }
  };
  // Partitions [begin, end) of a tile, for each kv head.
  struct Task {
    int32_t tile = 0;
    int32_t begin = 0;
    int32_t end = 0;
    int64_t cost = 0;
  };
  struct Place {
    const int32_t* blocks;
    int32_t token;
    int32_t position;
  };

  int64_t Cost(const Tile& tile, int32_t positions) const;
  int64_t QueryCount(const Tile& tile) const;
  void AddTasks(int32_t index, int64_t share);
  void MoveStores(Tile& tile);
  AttentionState Partial(const Tile& tile, int32_t kv_head, int32_t partition) const;
  HeadRotation RotationOf(const AttentionLayer& layer, int32_t token) const;
  void StoreHead(const AttentionLayer& layer, const Place& place, int32_t kv_head) const;
  void PrepareQueries(const Tile& tile, int32_t kv_head, const AttentionLayer& layer,
                      const AttentionKernels& kernels, const TileScratch& scratch) const;
  PartitionPlace PlaceOf(const Tile& tile, int32_t kv_head, int32_t partition) const;
  PartitionPlace FirstPlace(int64_t index) const;  // Of a task; none beyond the last.
  void MergeFrom(int64_t from, int64_t queries, const AttentionState& next,
                 const AttentionState& merged) const;
  void FinishTile(const Tile& tile, int32_t kv_head, const AttentionLayer& layer,
                  const AttentionState& state) const;

  AttentionSettings settings_;
  int32_t tile_tokens_ = 0;
  int64_t scratch_bytes_ = 0;
  int64_t partials_used_ = 0;  // Floats.
  std::vector<Tile> tiles_;
  std::vector<Task> tasks_;      // Each stands for one task a kv head.
  std::vector<int32_t> merges_;  // Tiles whose partitions several tasks share.
  std::vector<Place> stores_;
  AlignedBuffer partials_;  // f32
};

}  // namespace hocket

#endif  // HOCKET_RUNTIME_KERNELS_PAGED_ATTENTION_H_
