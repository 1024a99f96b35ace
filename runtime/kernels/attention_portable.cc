#include <cstring>

#include "runtime/kernels/attention_kernels.h"

// The order matters: everything after foreach_target.h is read once per target.
// clang-format off
#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "runtime/kernels/attention_portable.cc"
#include "hwy/foreach_target.h"  // IWYU pragma: keep
#include "hwy/highway.h"
#include "runtime/kernels/simd-inl.h"
// clang-format on

HWY_BEFORE_NAMESPACE();
namespace hocket {
namespace HWY_NAMESPACE {

using FloatVec = hn::Vec<FloatTag>;
constexpr int kLanes = static_cast<int>(hn::MaxLanes(FloatTag()));
constexpr int kUnitVectors = kUnitTokens / kLanes;
// With vectors as wide as a unit there are registers for several units at once.
constexpr bool kWholeUnits = kUnitVectors == 1;

// sums[q][v] += a[q] * b[v], b's vectors being lanes of kUnits units.
template <int kQueries, int kVectors>
HWY_INLINE void AddProducts(const float* HWY_RESTRICT a, const FloatVec (&b)[kVectors],
                            FloatVec (&sums)[kQueries][kVectors]) {
#pragma GCC unroll 8
  for (int q = 0; q < kQueries; ++q) {
    const auto element = hn::Set(FloatTag(), a[q * kScoreStride]);
#pragma GCC unroll 8
    for (int v = 0; v < kVectors; ++v) sums[q][v] = hn::MulAdd(element, b[v], sums[q][v]);
  }
}

// A step along the summed dimension: one element of f32 storage,
struct F32Operand {
  static constexpr int kElements = 1;
  template <int kQueries, int kUnits, int kVectors>
  static HWY_INLINE void AddStep(const float* HWY_RESTRICT a,
                                 const std::byte* const (&rows)[kUnits],
                                 FloatVec (&sums)[kQueries][kVectors]) {
    FloatVec b[kVectors];
#pragma GCC unroll 8
    for (int v = 0; v < kVectors; ++v) {
      b[v] = hn::LoadU(FloatTag(), reinterpret_cast<const float*>(rows[v / kUnitVectors]) +
                                       v % kUnitVectors * kLanes);
    }
    AddProducts(a, b, sums);
  }
};

// or a pair of bf16, the even element in the lower half of 32 bits.
struct Bf16Operand {
  static constexpr int kElements = 2;
  template <int kQueries, int kUnits, int kVectors>
  static HWY_INLINE void AddStep(const float* HWY_RESTRICT a,
                                 const std::byte* const (&rows)[kUnits],
                                 FloatVec (&sums)[kQueries][kVectors]) {
    const FloatTag d;
    const hn::RebindToUnsigned<FloatTag> d32;
    const auto pairs = [&](int v) HWY_ATTR {
      return hn::LoadU(d32, reinterpret_cast<const uint32_t*>(rows[v / kUnitVectors]) +
                                v % kUnitVectors * kLanes);
    };
    FloatVec b[kVectors];
#pragma GCC unroll 8
    for (int v = 0; v < kVectors; ++v) b[v] = hn::BitCast(d, hn::ShiftLeft<16>(pairs(v)));
    AddProducts(a, b, sums);
    const auto high = hn::Set(d32, 0xffff0000u);
#pragma GCC unroll 8
    for (int v = 0; v < kVectors; ++v) b[v] = hn::BitCast(d, hn::And(pairs(v), high));
    AddProducts(a + 1, b, sums);
  }
};

template <int kQueries, int kVectors>
HWY_INLINE void SetZero(FloatVec (&sums)[kQueries][kVectors]) {
#pragma GCC unroll 8
  for (int q = 0; q < kQueries; ++q) {
#pragma GCC unroll 8
    for (int v = 0; v < kVectors; ++v) sums[q][v] = hn::Zero(FloatTag());
  }
}

template <class Operand, int kQueries, int kUnits>
HWY_INLINE void ScoreUnits(const ScoreWork& work, int first) {
  constexpr int kVectors = kUnits * kUnitVectors;
  const FloatTag d;
  FloatVec sums[kQueries][kVectors];
  SetZero(sums);
  const std::byte* rows[kUnits];
  for (int u = 0; u < kUnits; ++u) rows[u] = work.keys[first + u];
  const float* a = reinterpret_cast<const float*>(work.queries);
  for (int32_t step = 0; step < work.steps; ++step, a += Operand::kElements) {
    Operand::AddStep(a, rows, sums);
#pragma GCC unroll 8
    for (int u = 0; u < kUnits; ++u) rows[u] += work.key_stride;
  }
#pragma GCC unroll 8
  for (int v = 0; v < kVectors; ++v) {
    const int lane = first * kUnitTokens + v * kLanes;
    const auto scale = work.scales == nullptr ? hn::Set(d, 1.0f) : hn::LoadU(d, work.scales + lane);
#pragma GCC unroll 8
    for (int q = 0; q < kQueries; ++q) {
      hn::StoreU(hn::Mul(sums[q][v], scale), d, work.scores + q * kScoreStride + lane);
    }
  }
}

template <class Operand, int kQueries, int kUnits>
void Score(const ScoreWork& work) {
  if constexpr (kWholeUnits) {
    ScoreUnits<Operand, kQueries, kUnits>(work, 0);
  } else {
    for (int u = 0; u < kUnits; ++u) ScoreUnits<Operand, kQueries, 1>(work, u);
  }
}

template <class Operand, int kQueries, int kUnits>
HWY_INLINE void WeighUnits(const WeighWork& work, int first) {
  constexpr int kVectors = kUnits * kUnitVectors;
  constexpr int32_t kUnitSteps = kUnitTokens / Operand::kElements;
  const FloatTag d;
  FloatVec sums[kQueries][kVectors];
  SetZero(sums);
  const float* a = reinterpret_cast<const float*>(work.weights);
  const int64_t offset = work.value_offset + first * kUnitTokens * 4;
  const std::byte* rows[kUnits];
  const auto add_rows = [&](const std::byte* row, int32_t count) HWY_ATTR {
    for (int32_t i = 0; i < count; ++i, row += work.value_stride, a += Operand::kElements) {
#pragma GCC unroll 8
      for (int u = 0; u < kUnits; ++u) rows[u] = row + u * kUnitTokens * 4;
      Operand::AddStep(a, rows, sums);
    }
  };
  int32_t unit = 0;
  int32_t left = work.steps;
  for (; left > 0; ++unit, left -= kUnitSteps) {
    add_rows(work.values[unit] + offset, HWY_MIN(left, kUnitSteps));
  }
  if (work.last != nullptr) add_rows(work.last + offset, 1);
#pragma GCC unroll 8
  for (int q = 0; q < kQueries; ++q) {
#pragma GCC unroll 8
    for (int v = 0; v < kVectors; ++v) {
      // Masked positions may have turned 0 into -0 and back.
      hn::StoreU(hn::Add(sums[q][v], hn::Zero(d)), d,
                 work.out + q * work.out_stride + first * kUnitTokens + v * kLanes);
    }
  }
}

template <class Operand, int kQueries, int kUnits>
void Weigh(const WeighWork& work) {
  if constexpr (kWholeUnits) {
    WeighUnits<Operand, kQueries, kUnits>(work, 0);
  } else {
    for (int u = 0; u < kUnits; ++u) WeighUnits<Operand, kQueries, 1>(work, u);
  }
}

// 2^x for x <= 0 to within 5e-7 of its size, exact at 0; below 2^-126 as for -126.
template <class D>
HWY_INLINE hn::Vec<D> Exp2(D d, hn::Vec<D> x) {
  const hn::RebindToSigned<D> di;
  const auto clamped = hn::Max(x, hn::Set(d, -126.0f));
  const auto whole = hn::NearestInt(clamped);
  const auto part = hn::Sub(clamped, hn::ConvertTo(d, whole));
  auto y = hn::MulAdd(hn::Set(d, 0.00111255073f), part, hn::Set(d, 0.00966628268f));
  y = hn::MulAdd(y, part, hn::Set(d, 0.0555740036f));
  y = hn::MulAdd(y, part, hn::Set(d, 0.240223512f));
  y = hn::MulAdd(y, part, hn::Set(d, 0.693142831f));
  y = hn::MulAdd(y, part, hn::Set(d, 1.0f));
  const auto power = hn::ShiftLeft<23>(hn::Add(whole, hn::Set(di, 127)));
  return hn::Mul(y, hn::BitCast(d, power));
}

void Softmax(SoftmaxWork& work) {
  const FloatTag d;
  float* HWY_RESTRICT scores = work.scores;
  const int32_t whole = work.visible / kLanes * kLanes;
  const auto own = hn::FirstN(d, work.visible - whole);
  auto most = hn::Set(d, scores[0]);
  for (int32_t p = 0; p < whole; p += kLanes) most = hn::Max(most, hn::LoadU(d, scores + p));
  if (whole < work.visible) {
    most = hn::Max(most, hn::IfThenElse(own, hn::LoadU(d, scores + whole), most));
  }
  const auto largest = hn::MaxOfLanes(d, most);
  work.largest = hn::GetLane(largest);

  FloatVec sums[kUnitVectors];
  for (auto& sum : sums) sum = hn::Zero(d);
  const auto weigh = [&](int32_t p, FloatVec weight, FloatVec& sum) HWY_ATTR {
    sum = hn::Add(sum, weight);
    if (work.value_scales != nullptr) {
      weight = hn::Mul(weight, hn::LoadU(d, work.value_scales + p));
    }
    return weight;
  };
  const auto part = [&](int32_t p, FloatVec& sum) HWY_ATTR {
    if (p + kLanes <= work.visible) {
      const auto weight = Exp2(d, hn::Sub(hn::LoadU(d, scores + p), largest));
      hn::StoreU(weigh(p, weight, sum), d, scores + p);
    } else if (p < work.visible) {
      // Lanes beyond may hold anything, and so may their scales.
      const auto weight =
          hn::IfThenElseZero(own, Exp2(d, hn::Sub(hn::LoadU(d, scores + p), largest)));
      hn::StoreU(hn::IfThenElseZero(own, weigh(p, weight, sum)), d, scores + p);
    } else {
      hn::StoreU(hn::Zero(d), d, scores + p);
    }
  };
  for (int32_t p = 0; p < work.padded; p += kUnitTokens) {
#pragma GCC unroll 4
    for (int v = 0; v < kUnitVectors; ++v) part(p + v * kLanes, sums[v]);
  }
  HWY_ALIGN float lanes[kUnitTokens];
  for (int v = 0; v < kUnitVectors; ++v) hn::Store(sums[v], d, lanes + v * kLanes);
  work.sum = SumLanes(lanes);
}

void CopyQuery(const float* from, int32_t head_dim, std::byte* to) {
  std::memcpy(to, from, head_dim * sizeof(float));
}

void ExpandInt8(const int8_t* from, int64_t elements, uint16_t* to) {
  const FloatTag d;
  const hn::Rebind<int32_t, FloatTag> d32;
  const hn::Rebind<int8_t, FloatTag> d8;
  for (int64_t i = 0; i < elements; i += kLanes) {
    const auto value = hn::ConvertTo(d, hn::PromoteTo(d32, hn::LoadU(d8, from + i)));
    StoreF32(d, value, reinterpret_cast<Bf16*>(to + i));
  }
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
  AttentionKernels kernels;
  kernels.name = hwy::TargetName(HWY_TARGET);
  kernels.round_query = CopyQuery;
  kernels.softmax = Softmax;
  kernels.expand = ExpandInt8;
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
  return type == KvType::kF32 ? f32 : bf16;
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
  const AttentionKernels* native = type == KvType::kF32 ? nullptr : Avx512Bf16AttentionKernels();
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
