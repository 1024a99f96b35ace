#include "runtime/kernels/paged_attention.h"

#include <algorithm>
#include <cmath>
#include <numbers>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "runtime/kernels/attention_kernels.h"
#include "runtime/kernels/attention_partition.h"
#include "runtime/kernels/kv_store.h"
#include "runtime/kernels/rotary.h"

namespace hocket {
namespace {

// Queries of a tile, where a token's heads of one kv head are fewer.
constexpr int32_t kTileQueries = 48;
// Tasks are worth sharing out from this cost on; a unit is about 1.2 ns.
constexpr int64_t kSplitCost = 8000;
// What reading a position's key and value costs, in queries computed from it.
constexpr int64_t kReadCost = 6;

int32_t Partitions(int32_t positions) {
  return (positions + kPartitionTokens - 1) / kPartitionTokens;
}

}  // namespace

absl::StatusOr<AttentionPlan> AttentionPlan::Create(const AttentionSettings& settings) {
  const KvShape& kv = settings.kv;
  if (kv.head_dim > kMaxHeadDim || kv.head_dim % 8 != 0) {
    return absl::UnimplementedError(absl::StrCat(
        "head_dim is ", kv.head_dim, ", expected a multiple of 8 of at most ", kMaxHeadDim));
  }
  AttentionPlan plan;
  plan.settings_ = settings;
  const int32_t group = settings.heads / kv.kv_heads;
  plan.tile_tokens_ = std::max(1, kTileQueries / group);
  const int64_t queries = int64_t{plan.tile_tokens_} * group;
  plan.scratch_bytes_ = TileScratch::Bytes(kv, queries);

  // Room for a decode row of full length, or for a few tiles of each thread.
  const int64_t state = kv.value_dim() + 2;
  const int64_t row = Partitions(settings.max_context_tokens) * state * settings.heads;
  const int64_t tiles = 8 * queries * state * settings.threads;
  if (settings.threads > 1) {
    auto partials = AlignedBuffer::Allocate(std::max(row, tiles) * sizeof(float), "attention");
    if (!partials.ok()) return partials.status();
    plan.partials_ = *std::move(partials);
  }
  const int64_t tokens = settings.max_step_tokens;
  plan.tiles_.reserve(tokens);
  plan.stores_.reserve(tokens);
  plan.merges_.reserve(tokens);
  // A tile is split only when it costs more than half a thread's share, into pieces of a third.
  plan.tasks_.reserve(tokens + int64_t{8} * settings.threads);
  return plan;
}

std::string AttentionPlan::Kernel(KvType type) { return BestAttentionKernels(type).name; }

int64_t AttentionPlan::bytes() const {
  return partials_.bytes() +
         static_cast<int64_t>(tiles_.capacity() * sizeof(Tile) + tasks_.capacity() * sizeof(Task) +
                              merges_.capacity() * sizeof(int32_t) +
                              stores_.capacity() * sizeof(Place));
}

void AttentionPlan::Clear() {
  tiles_.clear();
  tasks_.clear();
  merges_.clear();
  stores_.clear();
  partials_used_ = 0;
}

void AttentionPlan::Add(const AttentionRow& row) {
  const bool one_tile = row.token_count <= tile_tokens_;
  for (int32_t i = 0; i < row.token_count; i += tile_tokens_) {
    Tile tile;
    tile.row = {row.blocks, row.token_begin + i, std::min(tile_tokens_, row.token_count - i),
                row.first_position + i};
    tile.stores = one_tile;
    tiles_.push_back(tile);
  }
  if (one_tile) return;
  for (int32_t i = 0; i < row.token_count; ++i) {
    stores_.push_back({row.blocks, row.token_begin + i, row.first_position + i});
  }
}

int64_t AttentionPlan::Cost(const Tile& tile, int32_t positions) const {
  const int64_t group = settings_.heads / settings_.kv.kv_heads;
  const int64_t queries = tile.row.token_count * group;
  return (queries + kReadCost) * positions * settings_.kv.head_dim / 64;
}

void AttentionPlan::Finish() {
  int64_t total = 0;
  for (const Tile& tile : tiles_) total += Cost(tile, tile.positions());
  // Of all kv heads' tasks.
  const int64_t share = total * settings_.kv.kv_heads / settings_.threads;
  for (size_t i = 0; i < tiles_.size(); ++i) AddTasks(static_cast<int32_t>(i), share);
  std::sort(tasks_.begin(), tasks_.end(), [](const Task& a, const Task& b) {
    return a.cost != b.cost   ? a.cost > b.cost
           : a.tile != b.tile ? a.tile < b.tile
                              : a.begin < b.begin;
  });
}

// One task for the tile, or several that share its partitions where one would keep a thread
// busy while the others have nothing left.
void AttentionPlan::AddTasks(int32_t index, int64_t share) {
  Tile& tile = tiles_[index];
  const int32_t positions = tile.positions();
  const int32_t partitions = Partitions(positions);
  const int64_t cost = Cost(tile, positions);
  int32_t step = partitions;
  if (settings_.threads > 1 && partitions > 1 && cost > share / 2 && cost >= kSplitCost) {
    const int64_t queries = QueryCount(tile);
    const int64_t floats =
        partitions * queries * settings_.kv.kv_heads * (settings_.kv.value_dim() + 2);
    if ((partials_used_ + floats) * static_cast<int64_t>(sizeof(float)) <= partials_.bytes()) {
      const int64_t partition_cost = cost / partitions;
      step = static_cast<int32_t>(
          std::clamp<int64_t>(share / 3 / std::max<int64_t>(1, partition_cost), 1, partitions));
    }
    if (step < partitions) {
      tile.partials = partials_used_;
      partials_used_ += floats;
      merges_.push_back(index);
      // Only a single token's key and value are wanted by just one of the pieces.
      if (tile.stores && tile.row.token_count > 1) MoveStores(tile);
    }
  }
  for (int32_t begin = 0; begin < partitions; begin += step) {
    const int32_t end = std::min(begin + step, partitions);
    const int32_t tokens = std::min(end * kPartitionTokens, positions) - begin * kPartitionTokens;
    tasks_.push_back({index, begin, end, Cost(tile, tokens)});
  }
}

void AttentionPlan::MoveStores(Tile& tile) {
  tile.stores = false;
  for (int32_t i = 0; i < tile.row.token_count; ++i) {
    stores_.push_back({tile.row.blocks, tile.row.token_begin + i, tile.row.first_position + i});
  }
}

int64_t AttentionPlan::QueryCount(const Tile& tile) const {
  return int64_t{tile.row.token_count} * (settings_.heads / settings_.kv.kv_heads);
}

// The tile's partial result of a partition: largest [queries], sums [queries], weighted
// [queries][value_dim].
AttentionState AttentionPlan::Partial(const Tile& tile, int32_t kv_head, int32_t partition) const {
  const int64_t queries = QueryCount(tile);
  const int64_t floats = queries * (settings_.kv.value_dim() + 2);
  float* const at = partials_.As<float>() + tile.partials +
                    (int64_t{kv_head} * Partitions(tile.positions()) + partition) * floats;
  return {at, at + queries, at + 2 * queries};
}

void AttentionPlan::StoreHead(const AttentionLayer& layer, const Place& place,
                              int32_t kv_head) const {
  const KvShape& kv = settings_.kv;
  const int64_t dim = kv.head_dim;
  const int64_t key_at = (settings_.heads + kv_head) * dim;
  const int64_t value_at = key_at + kv.kv_heads * dim;
  const float* const qkv = layer.qkv + place.token * layer.qkv_stride;
  float key[kMaxHeadDim];
  float biased[kMaxHeadDim];
  RotateHead(RotationOf(layer, place.token), qkv + key_at,
             layer.bias == nullptr ? nullptr : layer.bias + key_at, 1.0f, key);
  const float* value = qkv + value_at;
  if (layer.bias != nullptr) {
    for (int64_t i = 0; i < dim; ++i) biased[i] = value[i] + layer.bias[value_at + i];
    value = biased;
  }
  const int32_t block = place.blocks[place.position / kv.block_tokens];
  StoreKeyAndValue(kv, layer.kv.Head(kv, block, kv_head), place.position % kv.block_tokens, key,
                   value);
}

HeadRotation AttentionPlan::RotationOf(const AttentionLayer& layer, int32_t token) const {
  const int64_t half = settings_.kv.head_dim / 2;
  return {settings_.kv.head_dim, layer.cosines + token * half, layer.sines + token * half};
}

void AttentionPlan::Store(int64_t index, const AttentionLayer& layer) const {
  for (int32_t head = 0; head < settings_.kv.kv_heads; ++head) {
    StoreHead(layer, stores_[index], head);
  }
}

// Rotated and scaled to scores in powers of 2, as operands.
void AttentionPlan::PrepareQueries(const Tile& tile, int32_t kv_head, const AttentionLayer& layer,
                                   const AttentionKernels& kernels,
                                   const TileScratch& scratch) const {
  const int64_t dim = settings_.kv.head_dim;
  const int32_t group = settings_.heads / settings_.kv.kv_heads;
  const float scale = std::numbers::log2e_v<float> / std::sqrt(static_cast<float>(dim));
  float rotated[kMaxHeadDim];
  int64_t query = 0;
  for (int32_t i = 0; i < tile.row.token_count; ++i) {
    const int32_t token = tile.row.token_begin + i;
    const HeadRotation rotation = RotationOf(layer, token);
    for (int32_t g = 0; g < group; ++g, ++query) {
      const int64_t at = (int64_t{kv_head} * group + g) * dim;
      RotateHead(rotation, layer.qkv + token * layer.qkv_stride + at,
                 layer.bias == nullptr ? nullptr : layer.bias + at, scale, rotated);
      scratch.query_scales[query] = kernels.round_query(rotated, settings_.kv.head_dim,
                                                        scratch.queries + query * kOperandRowBytes);
    }
  }
}

PartitionPlace AttentionPlan::PlaceOf(const Tile& tile, int32_t kv_head, int32_t partition) const {
  const int32_t begin = partition * kPartitionTokens;
  return {tile.row.blocks, kv_head, begin, std::min(kPartitionTokens, tile.positions() - begin)};
}

PartitionPlace AttentionPlan::FirstPlace(int64_t index) const {
  if (index >= tasks()) return {};
  const Task& task = tasks_[index / settings_.kv.kv_heads];
  return PlaceOf(tiles_[task.tile], static_cast<int32_t>(index % settings_.kv.kv_heads),
                 task.begin);
}

void AttentionPlan::Run(int64_t index, const AttentionLayer& layer, std::byte* memory) const {
  const KvShape& kv = settings_.kv;
  const Task& task = tasks_[index / kv.kv_heads];
  const int32_t kv_head = static_cast<int32_t>(index % kv.kv_heads);
  const Tile& tile = tiles_[task.tile];
  const bool whole = tile.partials < 0;
  if (tile.stores && task.end == Partitions(tile.positions())) {
    for (int32_t i = 0; i < tile.row.token_count; ++i) {
      StoreHead(layer, {tile.row.blocks, tile.row.token_begin + i, tile.row.first_position + i},
                kv_head);
    }
  }
  const AttentionKernels& kernels = BestAttentionKernels(kv.type);
  const int64_t queries = QueryCount(tile);
  const TileScratch scratch(kv, queries, memory);
  PrepareQueries(tile, kv_head, layer, kernels, scratch);

  PartitionWork work{kv, kernels, scratch, layer.kv};
  work.kv_head = kv_head;
  work.blocks = tile.row.blocks;
  work.group = settings_.heads / kv.kv_heads;
  work.first_position = tile.row.first_position;
  work.tokens = tile.row.token_count;
  for (int32_t partition = task.begin; partition < task.end; ++partition) {
    const bool first = partition == 0;
    const AttentionState into = !whole  ? Partial(tile, kv_head, partition)
                                : first ? scratch.merged
                                        : scratch.next;
    const PartitionPlace next = partition + 1 < task.end ? PlaceOf(tile, kv_head, partition + 1)
                                                         : FirstPlace(index + settings_.threads);
    const int32_t from = AttendPartition(work, partition, next, into);
    if (whole && !first) MergeFrom(from, queries, into, scratch.merged);
  }
  if (whole) FinishTile(tile, kv_head, layer, scratch.merged);
}

// Queries before `from` see nothing of the partition.
void AttentionPlan::MergeFrom(int64_t from, int64_t queries, const AttentionState& next,
                              const AttentionState& merged) const {
  const int64_t dim = settings_.kv.value_dim();
  const auto tail = [&](const AttentionState& state) {
    return AttentionState{state.largest + from, state.sums + from, state.weighted + from * dim};
  };
  MergePartition(static_cast<int32_t>(queries - from), dim, tail(next), tail(merged));
}

void AttentionPlan::FinishTile(const Tile& tile, int32_t kv_head, const AttentionLayer& layer,
                               const AttentionState& state) const {
  const int64_t dim = settings_.kv.head_dim;
  const int32_t group = settings_.heads / settings_.kv.kv_heads;
  int64_t query = 0;
  for (int32_t i = 0; i < tile.row.token_count; ++i) {
    float* out = layer.out + (tile.row.token_begin + i) * layer.out_stride + kv_head * group * dim;
    for (int32_t g = 0; g < group; ++g, ++query, out += dim) {
      FinishAttention(state.weighted + query * settings_.kv.value_dim(), state.sums[query], dim,
                      out);
    }
  }
}

void AttentionPlan::Merge(int64_t index, const AttentionLayer& layer) const {
  const Tile& tile = tiles_[merges_[index / settings_.kv.kv_heads]];
  const int32_t kv_head = static_cast<int32_t>(index % settings_.kv.kv_heads);
  const int32_t group = settings_.heads / settings_.kv.kv_heads;
  const int64_t queries = QueryCount(tile);
  const AttentionState merged = Partial(tile, kv_head, 0);
  for (int32_t partition = 1; partition < Partitions(tile.positions()); ++partition) {
    const int32_t from =
        std::max(0, partition * kPartitionTokens - tile.row.first_position) * group;
    MergeFrom(from, queries, Partial(tile, kv_head, partition), merged);
  }
  FinishTile(tile, kv_head, layer, merged);
}

}  // namespace hocket
