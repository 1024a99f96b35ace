#include "runtime/kernels/attention.h"

#include <algorithm>

// The order matters: everything after foreach_target.h is read once per target.
// clang-format off
#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "runtime/kernels/attention.cc"
#include "hwy/foreach_target.h"  // IWYU pragma: keep
#include "hwy/highway.h"
#include "hwy/contrib/math/math-inl.h"
#include "runtime/kernels/simd-inl.h"
// clang-format on

HWY_BEFORE_NAMESPACE();
namespace hocket {
namespace HWY_NAMESPACE {

// One (tile, kv head) pair, unpacked. Query q is head kv_head * group + q % group of token
// q / group.
template <class T>
struct Task {
  const AttentionInput* input;
  const AttentionTile* tile;
  int32_t kv_head;
  const T* keys;
  const T* values;
  float* scores;  // [queries][stride]
  int64_t stride;
  int32_t group;
  int32_t queries;

  const float* Query(int32_t q) const {
    return input->qkv + (tile->token_begin + q / group) * input->qkv_stride +
           (int64_t{kv_head} * group + q % group) * input->layout.head_dim;
  }
  int32_t Positions(int32_t q) const { return tile->first_position + q / group + 1; }
  const T* BlockKeys(int32_t index) const {
    return keys + input->layout.Offset(tile->blocks[index], kv_head);
  }
  const T* BlockValues(int32_t index) const {
    return values + input->layout.Offset(tile->blocks[index], kv_head);
  }
};

// Scores of kQueries queries against two vectors of positions.
template <int kQueries, class T>
HWY_INLINE void ScoreVectors(const Task<T>& task, int32_t q, const T* HWY_RESTRICT keys_a,
                             const T* HWY_RESTRICT keys_b, float* HWY_RESTRICT out_a,
                             float* HWY_RESTRICT out_b) {
  const FloatTag d;
  const int64_t step = task.input->layout.block_tokens;
  const float* query[kQueries];
  hn::Vec<FloatTag> sum_a[kQueries];
  hn::Vec<FloatTag> sum_b[kQueries];
  for (int i = 0; i < kQueries; ++i) {
    query[i] = task.Query(q + i);
    sum_a[i] = hn::Zero(d);
    sum_b[i] = hn::Zero(d);
  }
  for (int32_t e = 0; e < task.input->layout.head_dim; ++e) {
    const auto a = LoadF32(d, keys_a + e * step);
    const auto b = LoadF32(d, keys_b + e * step);
    for (int i = 0; i < kQueries; ++i) {
      const auto element = hn::Set(d, query[i][e]);
      sum_a[i] = hn::MulAdd(element, a, sum_a[i]);
      sum_b[i] = hn::MulAdd(element, b, sum_b[i]);
    }
  }
  for (int i = 0; i < kQueries; ++i) {
    hn::StoreU(sum_a[i], d, out_a + (q + i) * task.stride);
    hn::StoreU(sum_b[i], d, out_b + (q + i) * task.stride);
  }
}

// Fills scores of every query for all positions of the tile's last token, and some beyond.
template <class T>
void ComputeScores(const Task<T>& task) {
  const int64_t lanes = hn::Lanes(FloatTag());
  const int64_t block_tokens = task.input->layout.block_tokens;
  const int64_t positions = task.Positions(task.queries - 1);
  for (int64_t p = 0; p < positions; p += 2 * lanes) {
    // The second vector may lie past the end: it then repeats the first, into the padding.
    const int64_t second = p + lanes < positions ? p + lanes : p;
    const T* keys_a = task.BlockKeys(p / block_tokens) + p % block_tokens;
    const T* keys_b = task.BlockKeys(second / block_tokens) + second % block_tokens;
    float* out_a = task.scores + p;
    float* out_b = out_a + lanes;
    int32_t q = 0;
    for (; q + 6 <= task.queries; q += 6) ScoreVectors<6>(task, q, keys_a, keys_b, out_a, out_b);
    for (; q + 3 <= task.queries; q += 3) ScoreVectors<3>(task, q, keys_a, keys_b, out_a, out_b);
    for (; q < task.queries; ++q) ScoreVectors<1>(task, q, keys_a, keys_b, out_a, out_b);
  }
}

// Turns a query's scores into exp(score - largest) with 0 beyond its own positions, and returns the
// inverse of their sum.
float Softmax(float* HWY_RESTRICT scores, int64_t positions, int64_t stride) {
  const FloatTag d;
  const int64_t lanes = hn::Lanes(d);
  float largest = scores[0];
  for (int64_t p = 1; p < positions; ++p) largest = std::max(largest, scores[p]);
  const auto shift = hn::Set(d, largest);
  alignas(64) float sums[kMaxLanes] = {};
  for (int64_t p = 0; p < stride; p += kMaxLanes) {
    for (int64_t lane = 0; lane < static_cast<int64_t>(kMaxLanes); lane += lanes) {
      const auto own = hn::FirstN(d, std::clamp<int64_t>(positions - p - lane, 0, lanes));
      // The padding may hold anything; it is replaced before it is used.
      const auto score = hn::IfThenElse(own, hn::LoadU(d, scores + p + lane), shift);
      const auto weight = hn::IfThenElseZero(own, hn::Exp(d, hn::Sub(score, shift)));
      hn::StoreU(weight, d, scores + p + lane);
      hn::Store(hn::Add(hn::Load(d, sums + lane), weight), d, sums + lane);
    }
  }
  return 1.0f / SumLanes(sums);
}

// kQueries queries' sums over positions of kVectors vectors of output elements.
template <int kQueries, int kVectors, class D, class T, class Out>
HWY_INLINE void WeighValues(D d, const Task<T>& task, int32_t q, int32_t element,
                            const float* HWY_RESTRICT inverse_sums, Out* HWY_RESTRICT out) {
  const int64_t lanes = hn::Lanes(d);
  const int64_t dim = task.input->layout.head_dim;
  const int64_t block_tokens = task.input->layout.block_tokens;
  const int64_t positions = task.Positions(q + kQueries - 1);
  hn::Vec<D> sums[kQueries][kVectors];
  for (auto& row : sums) {
    for (auto& sum : row) sum = hn::Zero(d);
  }
  for (int64_t begin = 0; begin < positions; begin += block_tokens) {
    const T* value = task.BlockValues(begin / block_tokens) + element;
    const float* weights = task.scores + q * task.stride + begin;
    const int64_t count = std::min(block_tokens, positions - begin);
    for (int64_t p = 0; p < count; ++p, value += dim) {
      hn::Vec<D> v[kVectors];
      for (int j = 0; j < kVectors; ++j) v[j] = LoadF32(d, value + j * lanes);
      for (int i = 0; i < kQueries; ++i) {
        const auto weight = hn::Set(d, weights[i * task.stride + p]);
        for (int j = 0; j < kVectors; ++j) sums[i][j] = hn::MulAdd(weight, v[j], sums[i][j]);
      }
    }
  }
  for (int i = 0; i < kQueries; ++i) {
    const int64_t token = task.tile->token_begin + (q + i) / task.group;
    const int64_t head = int64_t{task.kv_head} * task.group + (q + i) % task.group;
    Out* row = out + (token * task.input->heads + head) * dim + element;
    const auto inverse = hn::Set(d, inverse_sums[q + i]);
    for (int j = 0; j < kVectors; ++j) {
      StoreF32(d, hn::Mul(sums[i][j], inverse), row + j * lanes);
    }
  }
}

template <int kQueries, class D, class T, class Out>
void WeighAllElements(D d, const Task<T>& task, int32_t q, const float* inverse_sums, Out* out) {
  const int32_t lanes = hn::Lanes(d);
  const int32_t dim = task.input->layout.head_dim;
  int32_t e = 0;
  for (; e + 4 * lanes <= dim; e += 4 * lanes) {
    WeighValues<kQueries, 4>(d, task, q, e, inverse_sums, out);
  }
  for (; e < dim; e += lanes) WeighValues<kQueries, 1>(d, task, q, e, inverse_sums, out);
}

template <class D, class T, class Out>
void ComputeOutput(D d, const Task<T>& task, const float* inverse_sums, Out* out) {
  int32_t q = 0;
  for (; q + 3 <= task.queries; q += 3) WeighAllElements<3>(d, task, q, inverse_sums, out);
  for (; q < task.queries; ++q) WeighAllElements<1>(d, task, q, inverse_sums, out);
}

template <class T, class Out>
void AttendT(const AttentionInput& input, const AttentionTile& tile, int32_t kv_head, const T* keys,
             const T* values, float* scratch, Out* out) {
  const int32_t group = input.heads / input.layout.kv_heads;
  const int32_t queries = tile.token_count * group;
  const int64_t stride = AttentionScratchFloats(input, tile) / queries - 1;
  float* inverse_sums = scratch;
  const Task<T> task{&input, &tile, kv_head, keys, values, scratch + queries,
                     stride, group, queries};
  ComputeScores(task);
  for (int32_t q = 0; q < queries; ++q) {
    inverse_sums[q] = Softmax(task.scores + q * stride, task.Positions(q), stride);
  }
  if (input.layout.head_dim % kMaxLanes == 0) {
    ComputeOutput(FloatTag(), task, inverse_sums, out);
  } else {
    ComputeOutput(hn::CappedTag<float, 8>(), task, inverse_sums, out);
  }
}

void AttendF32(const AttentionInput& input, const AttentionTile& tile, int32_t kv_head,
               const float* keys, const float* values, float* scratch, float* out) {
  AttendT(input, tile, kv_head, keys, values, scratch, out);
}
void AttendBf16(const AttentionInput& input, const AttentionTile& tile, int32_t kv_head,
                const Bf16* keys, const Bf16* values, float* scratch, Bf16* out) {
  AttendT(input, tile, kv_head, keys, values, scratch, out);
}

}  // namespace HWY_NAMESPACE
}  // namespace hocket
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace hocket {
namespace {
// Scores are written two vectors of at most 16 positions at a time.
int64_t PaddedPositions(int64_t positions) { return (positions + 31) / 32 * 32; }
}  // namespace

HWY_EXPORT(AttendF32);
HWY_EXPORT(AttendBf16);

int64_t AttentionScratchFloats(const AttentionInput& input, const AttentionTile& tile) {
  const int64_t queries = int64_t{tile.token_count} * (input.heads / input.layout.kv_heads);
  return queries * (PaddedPositions(tile.first_position + tile.token_count) + 1);
}

int32_t AttentionTileTokens(const AttentionInput& input, int32_t positions,
                            int64_t scratch_floats) {
  const int64_t group = input.heads / input.layout.kv_heads;
  const int64_t per_token = group * (PaddedPositions(positions) + 1);
  return static_cast<int32_t>(std::clamp<int64_t>(scratch_floats / per_token, 1, 16));
}

void Attend(const AttentionInput& input, const AttentionTile& tile, int32_t kv_head,
            const float* keys, const float* values, float* scratch, float* out) {
  HWY_DYNAMIC_DISPATCH(AttendF32)(input, tile, kv_head, keys, values, scratch, out);
}
void Attend(const AttentionInput& input, const AttentionTile& tile, int32_t kv_head,
            const Bf16* keys, const Bf16* values, float* scratch, Bf16* out) {
  HWY_DYNAMIC_DISPATCH(AttendBf16)(input, tile, kv_head, keys, values, scratch, out);
}
}  // namespace hocket
#endif
