#include <cstring>

#include "runtime/kernels/attention_kernels.h"

// The order matters: everything after foreach_target.h is read once per target.
// clang-format off
#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "runtime/kernels/attention_portable.cc"
#include "hwy/foreach_target.h"  // IWYU pragma: keep
#include "hwy/highway.h"
#include "runtime/kernels/attention_products-inl.h"
#include "runtime/kernels/simd-inl.h"
// clang-format on

HWY_BEFORE_NAMESPACE();
namespace hocket {
namespace HWY_NAMESPACE {

// Adding this rounds a number of less than 2^22 to the nearest integer, which is then in the lower
// bits of the sum.
constexpr float kRounder = 0x1.8p23f;

// 2^x for x <= 0 to within 5e-7 of its size, exact at 0; below 2^-125 as for -125.
template <class D>
HWY_INLINE hn::Vec<D> Exp2(D d, hn::Vec<D> x) {
  const hn::RebindToSigned<D> di;
  const auto clamped = hn::Max(x, hn::Set(d, -125.0f));
  const auto rounded = hn::Add(clamped, hn::Set(d, kRounder));
  const auto part = hn::Sub(clamped, hn::Sub(rounded, hn::Set(d, kRounder)));
  auto y = hn::MulAdd(hn::Set(d, 0.00111255073f), part, hn::Set(d, 0.00966628268f));
  y = hn::MulAdd(y, part, hn::Set(d, 0.0555740036f));
  y = hn::MulAdd(y, part, hn::Set(d, 0.240223512f));
  y = hn::MulAdd(y, part, hn::Set(d, 0.693142831f));
  y = hn::MulAdd(y, part, hn::Set(d, 1.0f));
  // Into the exponent.
  const auto power = hn::ShiftLeft<23>(hn::BitCast(di, rounded));
  return hn::BitCast(d, hn::Add(hn::BitCast(di, y), power));
}

// The largest of the first `count` elements, of which there is at least one.
HWY_INLINE FloatVec Largest(const float* values, int32_t count) {
  const FloatTag d;
  auto most = hn::Set(d, values[0]);
  int32_t p = 0;
  for (; p + kLanes <= count; p += kLanes) most = hn::Max(most, hn::LoadU(d, values + p));
  // Lanes beyond may hold anything.
  const auto own = hn::FirstN(d, count - p);
  if (p < count) most = hn::Max(most, hn::IfThenElse(own, hn::LoadU(d, values + p), most));
  return hn::MaxOfLanes(d, most);
}

// Store a vector's weights at position p as operands, which take no more room than scores; of the
// weights, `own` are not 0.
struct StoreWeights {
  explicit StoreWeights(SoftmaxWork& work) : to(work.scores) {}
  HWY_INLINE void Whole(int32_t p, FloatVec weights) const {
    hn::StoreU(weights, FloatTag(), to + p);
  }
  HWY_INLINE void Part(int32_t p, FloatVec weights, hn::Mask<FloatTag> /*own*/) const {
    Whole(p, weights);
  }
  float* to;
};

struct QuantizeWeights {
  explicit QuantizeWeights(SoftmaxWork& work)
      : scales(work.value_scales), to(reinterpret_cast<int16_t*>(work.scores)) {
    // No weight is more than 1, so none is more than its position's scale.
    const float most = hn::GetLane(Largest(work.value_scales, work.visible));
    work.weight_scale = most < 1e-30f ? 0.0f : most / 32767.0f;
    inverse = hn::Set(FloatTag(), most < 1e-30f ? 0.0f : 32767.0f / most);
  }
  HWY_INLINE void Scaled(int32_t p, FloatVec weights, FloatVec position_scales) const {
    const FloatTag d;
    const hn::RebindToSigned<FloatTag> d32;
    const hn::Rebind<int16_t, FloatTag> d16;
    const auto x = hn::Mul(hn::Mul(weights, position_scales), inverse);
    const auto rounded = hn::BitCast(d32, hn::Add(x, hn::Set(d, kRounder)));
    const auto steps = hn::Sub(rounded, hn::BitCast(d32, hn::Set(d, kRounder)));
    hn::StoreU(hn::DemoteTo(d16, steps), d16, to + p);
  }
  HWY_INLINE void Whole(int32_t p, FloatVec weights) const {
    Scaled(p, weights, hn::LoadU(FloatTag(), scales + p));
  }
  HWY_INLINE void Part(int32_t p, FloatVec weights, hn::Mask<FloatTag> own) const {
    // Scales beyond may be anything.
    Scaled(p, weights, hn::IfThenElseZero(own, hn::LoadU(FloatTag(), scales + p)));
  }
  const float* scales;
  int16_t* to;
  FloatVec inverse;
};

template <class Store>
void Softmax(SoftmaxWork& work) {
  const FloatTag d;
  const float* const scores = work.scores;
  const auto largest = Largest(scores, work.visible);
  work.largest = hn::GetLane(largest);
  const Store store(work);
  // In 16 lanes by position, however wide vectors are.
  FloatVec sums[kUnitVectors];
  for (auto& sum : sums) sum = hn::Zero(d);
  const int32_t visible = work.visible;
  const int32_t whole = visible / kUnitTokens * kUnitTokens;
  int32_t p = 0;
  for (; p < whole; p += kUnitTokens) {
#pragma GCC unroll 4
    for (int v = 0; v < kUnitVectors; ++v) {
      const auto weight = Exp2(d, hn::Sub(hn::LoadU(d, scores + p + v * kLanes), largest));
      sums[v] = hn::Add(sums[v], weight);
      store.Whole(p + v * kLanes, weight);
    }
  }
  const int32_t padded = work.padded;
  for (; p < padded; p += kUnitTokens) {
#pragma GCC unroll 4
    for (int v = 0; v < kUnitVectors; ++v) {
      const int32_t at = p + v * kLanes;
      const auto own = hn::FirstN(d, HWY_MAX(0, visible - at));
      const auto score = hn::LoadU(d, scores + at);
      const auto weight = hn::IfThenElseZero(own, Exp2(d, hn::Sub(score, largest)));
      sums[v] = hn::Add(sums[v], weight);
      store.Part(at, weight, own);
    }
  }
  HWY_ALIGN float lanes[kUnitTokens];
  for (int v = 0; v < kUnitVectors; ++v) hn::Store(sums[v], d, lanes + v * kLanes);
  work.sum = SumLanes(lanes);
}

float CopyQuery(const float* from, int32_t head_dim, std::byte* to) {
  std::memcpy(to, from, head_dim * sizeof(float));
  return 1.0f;
}

float QuantizeQuery(const float* from, int32_t head_dim, std::byte* to) {
  HWY_ALIGN float lanes[kMaxLanes] = {};
  ForEachVector(head_dim, [&](auto d, size_t i) HWY_ATTR {
    hn::StoreU(hn::Max(hn::LoadU(d, lanes), hn::Abs(hn::LoadU(d, from + i))), d, lanes);
  });
  float most = 0;
  for (const float lane : lanes) most = HWY_MAX(most, lane);
  const float inverse = most < 1e-30f ? 0.0f : 32767.0f / most;
  ForEachVector(head_dim, [&](auto d, size_t i) HWY_ATTR {
    const hn::Rebind<int16_t, decltype(d)> d16;
    const auto steps = hn::NearestInt(hn::Mul(hn::LoadU(d, from + i), hn::Set(d, inverse)));
    hn::StoreU(hn::DemoteTo(d16, steps), d16, reinterpret_cast<int16_t*>(to) + i);
  });
  return most < 1e-30f ? 0.0f : most / 32767.0f;
}

template <class Operand, int kQueries>
void SetKernels(AttentionKernels& kernels) {
  auto& score = kernels.score[kQueries - 1];
  score[0] = Score<Operand, kQueries, 1>;
  score[1] = Score<Operand, kQueries, 2>;
  score[2] = Score<Operand, kQueries, 3>;
  score[3] = Score<Operand, kQueries, 4>;
  auto& weigh = kernels.weigh[kQueries - 1];
  weigh[0] = Weigh<Operand, kQueries, 1>;
  weigh[1] = Weigh<Operand, kQueries, 2>;
  weigh[2] = Weigh<Operand, kQueries, 3>;
  weigh[3] = Weigh<Operand, kQueries, 4>;
}

template <class Operand>
AttentionKernels MakeKernels() {
  constexpr bool kIntegers = Operand::kLaneBytes == 2;
  AttentionKernels kernels;
  kernels.name = hwy::TargetName(HWY_TARGET);
  kernels.round_query = kIntegers ? QuantizeQuery : CopyQuery;
  kernels.softmax = kIntegers ? Softmax<QuantizeWeights> : Softmax<StoreWeights>;
  SetKernels<Operand, 1>(kernels);
  SetKernels<Operand, 2>(kernels);
  SetKernels<Operand, 3>(kernels);
  SetKernels<Operand, 4>(kernels);
  SetKernels<Operand, 5>(kernels);
  SetKernels<Operand, 6>(kernels);
  return kernels;
}

const AttentionKernels& PortableKernels(KvType type) {
  static const AttentionKernels f32 = MakeKernels<F32Operand>();
  static const AttentionKernels bf16 = MakeKernels<Bf16Operand>();
  static const AttentionKernels int8 = MakeKernels<Int8Operand>();
  return type == KvType::kF32 ? f32 : type == KvType::kBf16 ? bf16 : int8;
}

void Merge(int32_t queries, int64_t dim, const AttentionState& next, const AttentionState& merged) {
  const FloatTag d;
  for (int32_t q = 0; q < queries; ++q) {
    const float largest = HWY_MAX(merged.largest[q], next.largest[q]);
    const auto old_factor = Exp2(d, hn::Set(d, merged.largest[q] - largest));
    const auto new_factor = Exp2(d, hn::Set(d, next.largest[q] - largest));
    merged.largest[q] = largest;
    const auto sum = hn::Mul(hn::Set(d, merged.sums[q]), old_factor);
    merged.sums[q] = hn::GetLane(hn::MulAdd(hn::Set(d, next.sums[q]), new_factor, sum));
    float* HWY_RESTRICT to = merged.weighted + q * dim;
    const float* HWY_RESTRICT from = next.weighted + q * dim;
    for (int64_t i = 0; i < dim; i += kLanes) {
      const auto old = hn::Mul(hn::LoadU(d, to + i), old_factor);
      hn::StoreU(hn::MulAdd(hn::LoadU(d, from + i), new_factor, old), d, to + i);
    }
  }
}

void Finish(const float* weighted, float sum, int64_t elements, float* out) {
  const float inverse = 1.0f / sum;
  ForEachVector(elements, [&](auto d, size_t i) HWY_ATTR {
    hn::StoreU(hn::Mul(hn::LoadU(d, weighted + i), hn::Set(d, inverse)), d, out + i);
  });
}

}  // namespace HWY_NAMESPACE
}  // namespace hocket
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace hocket {
HWY_EXPORT(PortableKernels);
HWY_EXPORT(Merge);
HWY_EXPORT(Finish);

const AttentionKernels& PortableAttentionKernels(KvType type) {
  return HWY_DYNAMIC_DISPATCH(PortableKernels)(type);
}

const AttentionKernels& BestAttentionKernels(KvType type) {
  const AttentionKernels* native = Avx512Bf16AttentionKernels(type);
  return native == nullptr ? PortableAttentionKernels(type) : *native;
}

void MergePartition(int32_t queries, int64_t dim, const AttentionState& next,
                    const AttentionState& merged) {
  HWY_DYNAMIC_DISPATCH(Merge)(queries, dim, next, merged);
}

void FinishAttention(const float* weighted, float sum, int64_t elements, float* out) {
  HWY_DYNAMIC_DISPATCH(Finish)(weighted, sum, elements, out);
}
}  // namespace hocket
#endif
