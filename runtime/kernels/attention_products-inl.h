// The products of attention in Highway's vectors: queries with keys, and weights with values.
// Included once per target, from inside attention_portable.cc after foreach_target.h.
#if defined(HOCKET_RUNTIME_KERNELS_ATTENTION_PRODUCTS_INL_H_) == defined(HWY_TARGET_TOGGLE)
#ifdef HOCKET_RUNTIME_KERNELS_ATTENTION_PRODUCTS_INL_H_
#undef HOCKET_RUNTIME_KERNELS_ATTENTION_PRODUCTS_INL_H_
#else
#define HOCKET_RUNTIME_KERNELS_ATTENTION_PRODUCTS_INL_H_
#endif

#include <cstddef>
#include <cstdint>
#include <cstring>
#include <utility>

#include "hwy/highway.h"
#include "runtime/kernels/attention_kernels.h"
#include "runtime/kernels/simd-inl.h"

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

}  // namespace HWY_NAMESPACE
}  // namespace hocket
HWY_AFTER_NAMESPACE();

#endif
