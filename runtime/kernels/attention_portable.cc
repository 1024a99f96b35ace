#include <cstring>
#include <utility>

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
// The same vector, which the compiler takes for a new one: it then multiplies in the order of the
// source. Left alone, it begins products of several queries at once, runs out of registers and
// keeps sums in memory.
template <class V>
HWY_INLINE V InOrder(V vector) {
#if HWY_ARCH_X86 && HWY_TARGET != HWY_SCALAR && (HWY_COMPILER_GCC || HWY_COMPILER_CLANG)
  asm volatile("" : "+v"(vector.raw));
#endif
  return vector;
}

// How a type's operands and rows are multiplied. A step goes along the summed dimension: kElements
// of it, which take kOperandBytes of a query's row and kLaneBytes of each lane of keys or values.
// sums[q][v] += a[q] * rows[v].

struct F32Operand {
  static constexpr int kElements = 1;
  static constexpr int kOperandBytes = 4;
  static constexpr int kLaneBytes = 4;
  using Sum = FloatVec;

  static HWY_INLINE FloatVec Zero() { return hn::Zero(FloatTag()); }
  // row(v) is the v-th vector of keys or values.
  template <int kQueries, int kVectors, class Row>
  static HWY_INLINE void AddProducts(const float* HWY_RESTRICT a, const Row& row,
                                     Sum (&sums)[kQueries][kVectors]) {
    const FloatTag d;
    // What there is less of stays in registers.
    if constexpr (kQueries < kVectors) {
      FloatVec elements[kQueries];
#pragma GCC unroll 8
      for (int q = 0; q < kQueries; ++q) elements[q] = hn::Set(d, a[q * kScoreStride]);
#pragma GCC unroll 8
      for (int v = 0; v < kVectors; ++v) {
        const auto b = row(v);
#pragma GCC unroll 8
        for (int q = 0; q < kQueries; ++q) sums[q][v] = hn::MulAdd(elements[q], b, sums[q][v]);
      }
    } else {
      FloatVec b[kVectors];
#pragma GCC unroll 8
      for (int v = 0; v < kVectors; ++v) b[v] = row(v);
#pragma GCC unroll 8
      for (int q = 0; q < kQueries; ++q) {
        const auto element = hn::Set(d, a[q * kScoreStride]);
#pragma GCC unroll 8
        for (int v = 0; v < kVectors; ++v) sums[q][v] = hn::MulAdd(element, b[v], sums[q][v]);
      }
    }
  }
  template <int kQueries, int kVectors>
  static HWY_INLINE void AddStep(const std::byte* a, const std::byte* const (&rows)[kVectors],
                                 Sum (&sums)[kQueries][kVectors]) {
    const auto row = [&](int v) HWY_ATTR {
      return hn::LoadU(FloatTag(), reinterpret_cast<const float*>(rows[v]));
    };
    AddProducts(reinterpret_cast<const float*>(a), row, sums);
  }
  static HWY_INLINE FloatVec Finish(Sum sum) { return sum; }
};

// bf16 in pairs, the even element in the lower half of 32 bits; its operands are f32.
struct Bf16Operand : F32Operand {
  static constexpr int kElements = 2;
  static constexpr int kOperandBytes = 8;

  template <int kQueries, int kVectors>
  static HWY_INLINE void AddStep(const std::byte* a, const std::byte* const (&rows)[kVectors],
                                 Sum (&sums)[kQueries][kVectors]) {
    const FloatTag d;
    const hn::RebindToUnsigned<FloatTag> d32;
    const auto even = [&](int v) HWY_ATTR {
      const auto pairs = hn::LoadU(d32, reinterpret_cast<const uint32_t*>(rows[v]));
      return hn::BitCast(d, hn::ShiftLeft<16>(pairs));
    };
    AddProducts(reinterpret_cast<const float*>(a), even, sums);
    // Loaded again, and without a mask, for want of registers.
    const auto odd = [&](int v) HWY_ATTR {
      const auto pairs = InOrder(hn::LoadU(d32, reinterpret_cast<const uint32_t*>(rows[v])));
      return hn::BitCast(d, hn::ShiftLeft<16>(hn::ShiftRight<16>(pairs)));
    };
    AddProducts(reinterpret_cast<const float*>(a) + 1, odd, sums);
  }
};

// int8 in pairs; its operands are pairs of 16-bit integers.
struct Int8Operand {
  static constexpr int kElements = 2;
  static constexpr int kOperandBytes = 4;
  static constexpr int kLaneBytes = 2;
  using IntTag = hn::RebindToSigned<FloatTag>;
  // Some machines add even and odd products up in two vectors.
  struct Sum {
    hn::Vec<IntTag> first;
    hn::Vec<IntTag> second;
  };

  static HWY_INLINE Sum Zero() { return {hn::Zero(IntTag()), hn::Zero(IntTag())}; }
  template <int kQueries, int kVectors>
  static HWY_INLINE void AddStep(const std::byte* a, const std::byte* const (&rows)[kVectors],
                                 Sum (&sums)[kQueries][kVectors]) {
#if HWY_TARGET == HWY_SCALAR
    for (int q = 0; q < kQueries; ++q) {
      int16_t pair[2];
      std::memcpy(pair, a + q * kOperandRowBytes, sizeof(pair));
      for (int v = 0; v < kVectors; ++v) {
        const auto* const b = reinterpret_cast<const int8_t*>(rows[v]);
        sums[q][v].first =
            hn::Add(sums[q][v].first, hn::Set(IntTag(), pair[0] * b[0] + pair[1] * b[1]));
      }
    }
#else
    const IntTag d;
    const hn::Repartition<int16_t, IntTag> d16;
    const hn::Rebind<int8_t, decltype(d16)> d8;
    hn::Vec<decltype(d16)> b[kVectors];
#pragma GCC unroll 8
    for (int v = 0; v < kVectors; ++v) {
      b[v] = hn::PromoteTo(d16, hn::LoadU(d8, reinterpret_cast<const int8_t*>(rows[v])));
    }
#pragma GCC unroll 8
    for (int q = 0; q < kQueries; ++q) {
      int32_t pair;
      std::memcpy(&pair, a + q * kOperandRowBytes, sizeof(pair));
      const auto pairs = hn::BitCast(d16, InOrder(hn::Set(d, pair)));
#pragma GCC unroll 8
      for (int v = 0; v < kVectors; ++v) {
        sums[q][v].first = InOrder(
            hn::ReorderWidenMulAccumulate(d, pairs, b[v], sums[q][v].first, sums[q][v].second));
      }
    }
#endif
  }
  static HWY_INLINE FloatVec Finish(const Sum& sum) {
#if HWY_TARGET == HWY_SCALAR
    return hn::ConvertTo(FloatTag(), sum.first);
#else
    return hn::ConvertTo(FloatTag(), hn::RearrangeToOddPlusEven(sum.first, sum.second));
#endif
  }
};

// Units to compute together, as many as there are registers for: floats need eight sums under way
// to keep the multipliers busy.
template <class Operand>
constexpr int UnitsTogether(int queries) {
  if (kUnitVectors == 1) return kMaxUnits;
  if (kUnitVectors > 2 || Operand::kLaneBytes == 2) return 1;
  return queries == 1 ? 4 : queries == 2 ? 2 : 1;
}

template <class Operand, int kQueries, int kVectors>
HWY_INLINE void SetZero(typename Operand::Sum (&sums)[kQueries][kVectors]) {
#pragma GCC unroll 8
  for (int q = 0; q < kQueries; ++q) {
#pragma GCC unroll 8
    for (int v = 0; v < kVectors; ++v) sums[q][v] = Operand::Zero();
  }
}

template <class Operand, int kQueries, int kUnits>
HWY_INLINE void ScoreUnits(const ScoreWork& work, int first) {
  constexpr int kVectors = kUnits * kUnitVectors;
  const FloatTag d;
  typename Operand::Sum sums[kQueries][kVectors];
  SetZero<Operand>(sums);
  const std::byte* rows[kVectors];
#pragma GCC unroll 8
  for (int v = 0; v < kVectors; ++v) {
    rows[v] = work.keys[first + v / kUnitVectors] + v % kUnitVectors * kLanes * Operand::kLaneBytes;
  }
  const std::byte* a = work.queries;
  for (int32_t step = 0; step < work.steps; ++step, a += Operand::kOperandBytes) {
    Operand::AddStep(a, rows, sums);
#pragma GCC unroll 8
    for (int v = 0; v < kVectors; ++v) rows[v] += work.key_stride;
  }
#pragma GCC unroll 8
  for (int v = 0; v < kVectors; ++v) {
    const int lane = first * kUnitTokens + v * kLanes;
#pragma GCC unroll 8
    for (int q = 0; q < kQueries; ++q) {
      auto score = Operand::Finish(sums[q][v]);
      if constexpr (Operand::kLaneBytes == 2) {
        const auto key_scale = hn::LoadU(d, work.key_scales + lane);
        score = hn::Mul(score, hn::Mul(hn::Set(d, work.query_scales[q]), key_scale));
      }
      hn::StoreU(score, d, work.scores + q * kScoreStride + lane);
    }
  }
}

template <class Operand, int kQueries, int kUnits, int kFirst = 0>
void Score(const ScoreWork& work) {
  constexpr int kCount = HWY_MIN(kUnits - kFirst, UnitsTogether<Operand>(kQueries));
  ScoreUnits<Operand, kQueries, kCount>(work, kFirst);
  if constexpr (kFirst + kCount < kUnits) {
    Score<Operand, kQueries, kUnits, kFirst + kCount>(work);
  }
}

template <class Operand, int kQueries, int kUnits>
HWY_INLINE void WeighUnits(const WeighWork& work, int first) {
  constexpr int kVectors = kUnits * kUnitVectors;
  constexpr int32_t kUnitSteps = kUnitTokens / Operand::kElements;
  const FloatTag d;
  typename Operand::Sum sums[kQueries][kVectors];
  SetZero<Operand>(sums);
  const std::byte* a = work.weights;
  const int64_t offset = work.value_offset + first * kUnitTokens * Operand::kLaneBytes;
  const std::byte* const* unit = work.values;
  const std::byte* last = work.last;
  int32_t left = work.steps;
  int32_t fetched = 0;
  while (left > 0 || last != nullptr) {
    // One loop for all, so that the compiler has the sums in registers.
    const std::byte* row = (left > 0 ? *unit++ : std::exchange(last, nullptr)) + offset;
    const int32_t count = left > 0 ? HWY_MIN(left, kUnitSteps) : 1;
    left -= count;
    if (work.fetch != nullptr && first == 0) work.fetch->Fetch(fetched++);
    for (int32_t i = 0; i < count; ++i, row += work.value_stride, a += Operand::kOperandBytes) {
      const std::byte* rows[kVectors];
#pragma GCC unroll 8
      for (int v = 0; v < kVectors; ++v) rows[v] = row + v * kLanes * Operand::kLaneBytes;
      Operand::AddStep(a, rows, sums);
    }
  }
#pragma GCC unroll 8
  for (int q = 0; q < kQueries; ++q) {
#pragma GCC unroll 8
    for (int v = 0; v < kVectors; ++v) {
      auto sum = Operand::Finish(sums[q][v]);
      if constexpr (Operand::kLaneBytes == 2) {
        sum = hn::Mul(sum, hn::Set(d, work.weight_scales[q]));
      } else {
        // Masked positions may have turned 0 into -0 and back.
        sum = hn::Add(sum, hn::Zero(d));
      }
      hn::StoreU(sum, d, work.out + q * work.out_stride + first * kUnitTokens + v * kLanes);
    }
  }
}

template <class Operand, int kQueries, int kUnits, int kFirst = 0>
void Weigh(const WeighWork& work) {
  constexpr int kCount = HWY_MIN(kUnits - kFirst, UnitsTogether<Operand>(kQueries));
  WeighUnits<Operand, kQueries, kCount>(work, kFirst);
  if constexpr (kFirst + kCount < kUnits) {
    Weigh<Operand, kQueries, kUnits, kFirst + kCount>(work);
  }
}

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
