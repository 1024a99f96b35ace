#include "runtime/kernels/attention_partition.h"

#include <algorithm>
#include <cstring>

namespace hocket {
namespace {

constexpr int64_t kAlignment = 64;

int64_t Aligned(int64_t bytes) { return (bytes + kAlignment - 1) / kAlignment * kAlignment; }

// Of a query with `position`, in the partition that begins at `begin`.
int32_t Visible(int32_t position, int32_t begin) {
  return std::clamp(position + 1 - begin, 0, kPartitionTokens);
}

int32_t Units(int32_t tokens) { return (tokens + kUnitTokens - 1) / kUnitTokens; }

// Queries that the kernels take together, as even as can be.
struct QueryGroups {
  explicit QueryGroups(int32_t queries)
      : count((queries + kMaxQueries - 1) / kMaxQueries), queries(queries) {}
  int32_t Begin(int32_t group) const { return queries * group / count; }
  int32_t count;
  int32_t queries;
};

// Where the keys and values of a partition's units lie, ready for the kernels.
struct UnitRows {
  const std::byte* keys[kPartitionUnits];
  const std::byte* values[kPartitionUnits];
  int64_t key_stride;
  int64_t value_stride;
};

// Of a step along the summed dimension: a pair, or one element of f32.
int64_t LaneBytes(const KvShape& kv) { return kv.type == KvType::kInt8 ? 2 : 4; }

UnitRows FindUnits(const PartitionWork& work, int32_t begin, int32_t tokens) {
  const KvShape& kv = work.kv;
  UnitRows rows;
  rows.key_stride = LaneBytes(kv) * kv.block_tokens;
  rows.value_stride = LaneBytes(kv) * kv.value_dim();
  for (int32_t unit = 0; unit < Units(tokens); ++unit) {
    const int32_t position = begin + unit * kUnitTokens;
    const int64_t slot = position % kv.block_tokens;
    const std::byte* const head =
        work.layer.Head(kv, work.blocks[position / kv.block_tokens], work.kv_head);
    rows.keys[unit] = head + slot * LaneBytes(kv);
    rows.values[unit] = head + kv.ValuesOffset() + slot * kv.value_dim() * KvElementBytes(kv.type);
    if (kv.type != KvType::kInt8) continue;
    constexpr int64_t kUnitScaleBytes = kUnitTokens * sizeof(float);
    std::memcpy(work.scratch.key_scales + unit * kUnitTokens,
                head + kv.KeyScalesOffset() + slot * sizeof(float), kUnitScaleBytes);
    std::memcpy(work.scratch.value_scales + unit * kUnitTokens,
                head + kv.ValueScalesOffset() + slot * sizeof(float), kUnitScaleBytes);
  }
  return rows;
}

// The queries of a partition, each with the positions it sees.
struct PartitionQueries {
  int32_t from;   // The first that sees any.
  int32_t count;  // From there on.
  int32_t begin;  // The partition's first position.
  const PartitionWork& work;

  int32_t SeenBy(int32_t query) const {
    return Visible(work.first_position + (from + query) / work.group, begin);
  }
};

// Few queries wait for memory rather than for arithmetic.
bool FetchesAhead(const PartitionQueries& queries) { return queries.count <= kMaxQueries; }

UnitFetch FetchValues(const KvShape& kv, const UnitRows& rows, int32_t units) {
  UnitFetch fetch;
  fetch.units = units;
  std::copy_n(rows.values, units, fetch.begin);
  fetch.bytes = int64_t{kUnitTokens} * kv.value_dim() * KvElementBytes(kv.type);
  return fetch;
}

UnitFetch FetchKeys(const PartitionWork& work, const PartitionPlace& place) {
  const KvShape& kv = work.kv;
  UnitFetch fetch;
  fetch.units = Units(std::min(place.tokens, kPartitionTokens));
  for (int32_t unit = 0; unit < fetch.units; ++unit) {
    const int32_t position = place.begin + unit * kUnitTokens;
    fetch.begin[unit] =
        work.layer.Head(kv, place.blocks[position / kv.block_tokens], place.kv_head) +
        position % kv.block_tokens * LaneBytes(kv);
  }
  const int64_t stride = LaneBytes(kv) * kv.block_tokens;
  fetch.bytes = stride * kv.head_dim / (kv.type == KvType::kF32 ? 1 : 2);
  fetch.step = std::max<int64_t>(stride, 64);
  return fetch;
}

void Score(const PartitionQueries& queries, const UnitRows& rows, float* scores) {
  const PartitionWork& work = queries.work;
  const QueryGroups groups(queries.count);
  const int32_t units = Units(queries.SeenBy(queries.count - 1));
  // All queries meet a few units of keys while these are in the nearest cache.
  const bool ahead = FetchesAhead(queries);
  const UnitFetch values = ahead ? FetchValues(work.kv, rows, units) : UnitFetch();
  for (int32_t unit = 0; unit < units; unit += kMaxUnits) {
    for (int32_t i = unit; ahead && i < unit + kMaxUnits; ++i) values.Fetch(i);
    for (int32_t group = 0; group < groups.count; ++group) {
      const int32_t begin = groups.Begin(group);
      const int32_t end = groups.Begin(group + 1);
      const int32_t count = std::min(kMaxUnits, Units(queries.SeenBy(end - 1)) - unit);
      if (count <= 0) continue;
      ScoreWork score;
      score.queries = work.scratch.queries + (queries.from + begin) * kOperandRowBytes;
      score.keys = rows.keys + unit;
      score.key_stride = rows.key_stride;
      score.steps = work.kv.type == KvType::kF32 ? work.kv.head_dim : work.kv.head_dim / 2;
      score.query_scales = work.scratch.query_scales + queries.from + begin;
      score.key_scales = work.scratch.key_scales + unit * kUnitTokens;
      score.scores = scores + begin * kScoreStride + unit * kUnitTokens;
      work.kernels.score[end - begin - 1][count - 1](score);
    }
  }
}

// The values of the last position seen, when it is the first of a pair whose other half may hold
// anything: that half becomes 0.
const std::byte* HalfPair(const std::byte* row, int32_t value_dim, std::byte* to) {
  for (int32_t i = 0; i < value_dim; ++i) {
    uint16_t even;
    std::memcpy(&even, row + i * sizeof(uint32_t), sizeof(even));
    const uint32_t pair = even;
    std::memcpy(to + i * sizeof(uint32_t), &pair, sizeof(pair));
  }
  return to;
}

void Weigh(const PartitionQueries& queries, const UnitRows& rows, const PartitionPlace& next,
           const float* scores, float* weighted) {
  const PartitionWork& work = queries.work;
  const KvShape& kv = work.kv;
  const QueryGroups groups(queries.count);
  const int64_t dim = kv.value_dim();
  const int32_t dim_units = static_cast<int32_t>(dim / kUnitTokens);
  const int32_t passes = (dim_units + kMaxUnits - 1) / kMaxUnits;
  const bool ahead = FetchesAhead(queries) && next.tokens > 0;
  const UnitFetch fetch = ahead ? FetchKeys(work, next) : UnitFetch();
  for (int32_t group = 0; group < groups.count; ++group) {
    const int32_t begin = groups.Begin(group);
    const int32_t end = groups.Begin(group + 1);
    const int32_t seen = queries.SeenBy(end - 1);
    WeighWork weigh;
    weigh.weights = reinterpret_cast<const std::byte*>(scores + begin * kScoreStride);
    weigh.values = rows.values;
    weigh.value_stride = rows.value_stride;
    weigh.out_stride = dim;
    weigh.weight_scales = work.scratch.weight_scales + begin;
    // Of integers every half pair is finite.
    weigh.steps = kv.type == KvType::kF32    ? seen
                  : kv.type == KvType::kBf16 ? seen / 2
                                             : (seen + 1) / 2;
    if (kv.type == KvType::kBf16 && seen % 2 != 0) {
      const std::byte* const row =
          rows.values[seen / kUnitTokens] + seen % kUnitTokens / 2 * rows.value_stride;
      weigh.last = HalfPair(row, kv.value_dim(), work.scratch.last_values);
    }
    for (int32_t pass = 0; pass < passes; ++pass) {
      const int32_t first = dim_units * pass / passes;
      const int32_t count = dim_units * (pass + 1) / passes - first;
      weigh.value_offset = first * kUnitTokens * LaneBytes(kv);
      weigh.out = weighted + begin * dim + first * kUnitTokens;
      weigh.fetch = ahead && pass == 0 ? &fetch : nullptr;
      work.kernels.weigh[end - begin - 1][count - 1](weigh);
    }
  }
}

}  // namespace

TileScratch::TileScratch(const KvShape& kv, int64_t queries, std::byte* memory) {
  const auto take = [&](int64_t bytes) {
    std::byte* const part = memory;
    memory += Aligned(bytes);
    return part;
  };
  const auto floats = [&](int64_t count) { return reinterpret_cast<float*>(take(4 * count)); };
  this->queries = take(queries * kOperandRowBytes);
  query_scales = floats(queries);
  scores = floats(queries * kScoreStride);
  weight_scales = floats(queries);
  for (AttentionState* state : {&next, &merged}) {
    state->largest = floats(queries);
    state->sums = floats(queries);
    state->weighted = floats(queries * kv.value_dim());
  }
  last_values = take(4 * int64_t{kv.value_dim()});
  key_scales = floats(kPartitionTokens);
  value_scales = floats(kPartitionTokens);
}

int64_t TileScratch::Bytes(const KvShape& kv, int64_t queries) {
  const TileScratch scratch(kv, queries, nullptr);
  return reinterpret_cast<std::byte*>(scratch.value_scales) - static_cast<std::byte*>(nullptr) +
         kPartitionTokens * static_cast<int64_t>(sizeof(float));
}

int32_t AttendPartition(const PartitionWork& work, int32_t partition, const PartitionPlace& next,
                        const AttentionState& state) {
  const int32_t begin = partition * kPartitionTokens;
  const int32_t from = std::max(0, begin - work.first_position) * work.group;
  const PartitionQueries queries{from, work.tokens * work.group - from, begin, work};
  const int32_t tokens = queries.SeenBy(queries.count - 1);
  const UnitRows rows = FindUnits(work, begin, tokens);
  float* const scores = work.scratch.scores;
  Score(queries, rows, scores);
  const QueryGroups groups(queries.count);
  for (int32_t group = 0; group < groups.count; ++group) {
    const int32_t end = groups.Begin(group + 1);
    const int32_t padded = Units(queries.SeenBy(end - 1)) * kUnitTokens;
    for (int32_t query = groups.Begin(group); query < end; ++query) {
      SoftmaxWork softmax;
      softmax.scores = scores + query * kScoreStride;
      softmax.visible = queries.SeenBy(query);
      softmax.padded = padded;
      softmax.value_scales = work.scratch.value_scales;
      work.kernels.softmax(softmax);
      state.largest[from + query] = softmax.largest;
      state.sums[from + query] = softmax.sum;
      work.scratch.weight_scales[query] = softmax.weight_scale;
    }
  }
  Weigh(queries, rows, next, scores, state.weighted + from * work.kv.value_dim());
  return from;
}

}  // namespace hocket
