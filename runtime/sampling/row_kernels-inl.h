// What the sampling kernels share: relative probabilities, exact sums of weights, and compressed
// stores. Included once per instruction set by Highway's foreach_target; for runtime/sampling only.
#include <bit>
#include <cstddef>
#include <cstdint>
#include <limits>

#include "hwy/highway.h"
#include "runtime/sampling/compress_table.h"
#include "runtime/sampling/row_kernels.h"

#if defined(HOCKET_RUNTIME_SAMPLING_ROW_KERNELS_INL_H_) == defined(HWY_TARGET_TOGGLE)
#ifdef HOCKET_RUNTIME_SAMPLING_ROW_KERNELS_INL_H_
#undef HOCKET_RUNTIME_SAMPLING_ROW_KERNELS_INL_H_
#else
#define HOCKET_RUNTIME_SAMPLING_ROW_KERNELS_INL_H_
#endif

HWY_BEFORE_NAMESPACE();
namespace hocket::row_kernels {
namespace HWY_NAMESPACE {

namespace hn = hwy::HWY_NAMESPACE;

using DF = hn::CappedTag<float, 16>;
using DI = hn::RebindToSigned<DF>;
using VF = hn::Vec<DF>;

constexpr float kLowest = -std::numeric_limits<float>::infinity();

// Fewer than a vector's values, the rest filled up.
HWY_INLINE VF LoadTail(const float* from, size_t count, float fill) {
  HWY_ALIGN float lanes[16];
  for (size_t i = 0; i < 16; ++i) lanes[i] = i < count ? from[i] : fill;
  return hn::Load(DF(), lanes);
}

// The natural logarithm of a relative probability.
HWY_INLINE VF Exponent(VF logits, VF max, VF inverse_temperature) {
  const VF x = hn::Mul(hn::Sub(logits, max), inverse_temperature);
  return hn::IfThenZeroElse(hn::Eq(logits, max), x);
}

// Relative probabilities: 2^((logit - max) * log2(e) / temperature).
class RelativeOf {
 public:
  HWY_INLINE RelativeOf(float max, float inverse_temperature)
      : max_(hn::Set(DF(), max)), factor_(hn::Set(DF(), Log2Factor(inverse_temperature))) {}

  HWY_INLINE VF operator()(VF logits) const {
    VF y = hn::Mul(hn::Sub(logits, max_), factor_);
    // Also what makes inf - inf come out as "most likely".
    y = hn::IfThenZeroElse(hn::Eq(logits, max_), y);
    return Exp2OfNonPositive(y);
  }

  // Whether all logits up to `largest` weigh nothing.
  static bool AllNegligible(float largest, float max, float inverse_temperature) {
    return (largest - max) * Log2Factor(inverse_temperature) < -44.0f;
  }

 private:
  static float Log2Factor(float inverse_temperature) {
    const double factor = 1.4426950408889634 * static_cast<double>(inverse_temperature);
    constexpr double kLargest = std::numeric_limits<float>::max();
    return static_cast<float>(factor < kLargest ? factor : kLargest);
  }

  // Within 2 units in the last place; weights below 2^-41 are 0 whatever this gives.
  static HWY_INLINE VF Exp2OfNonPositive(VF y) {
    const DF d;
    const DI di;
    // Adding this leaves the nearest integer in the low bits.
    const VF shifter = hn::Set(d, 0x1.8p23f);
    y = hn::Max(y, hn::Set(d, -64.0f));
    const VF shifted = hn::Add(y, shifter);
    const VF f = hn::Sub(y, hn::Sub(shifted, shifter));  // In [-0.5, 0.5].
    // 2^f; a minimax fit of degree 5 to the relative error, which is 1e-7 at most.
    VF p = hn::Set(d, 0x1.5bba14p-10f);
    p = hn::MulAdd(p, f, hn::Set(d, 0x1.3cea88p-7f));
    p = hn::MulAdd(p, f, hn::Set(d, 0x1.c6b752p-5f));
    p = hn::MulAdd(p, f, hn::Set(d, 0x1.ebf9bcp-3f));
    p = hn::MulAdd(p, f, hn::Set(d, 0x1.62e42ap-1f));
    p = hn::MulAdd(p, f, hn::Set(d, 1.0f));
    // The shifter's own bits leave at the top.
    const auto exponent = hn::ShiftLeft<23>(hn::BitCast(di, shifted));
    return hn::BitCast(d, hn::Add(hn::BitCast(di, p), exponent));
  }

  VF max_;
  VF factor_;
};

// Adds up the Weight()s of at most 512 values in [0, 1]. A weight is split at 2^18 by adding
// constants that leave a rounded integer in a float's low bits; both parts are exact.
class WeightSum {
 public:
  HWY_INLINE WeightSum() : high_(hn::Zero(DI())), low_(hn::Zero(DI())) {}
  HWY_INLINE void Add(VF relative) {
    const DF d;
    const DI di;
    const VF scale = hn::Set(d, 0x1p40f);
    const VF high = hn::MulAdd(relative, scale, hn::Set(d, kHighShifter));
    const VF rest = hn::MulSub(relative, scale, hn::Sub(high, hn::Set(d, kHighShifter)));
    const VF low = hn::Add(rest, hn::Set(d, kLowShifter));
    high_ = hn::Add(high_, hn::BitCast(di, high));
    low_ = hn::Add(low_, hn::BitCast(di, low));
    ++adds_;
  }
  HWY_INLINE uint64_t Total() const {
    const DI di;
    const uint32_t adds = adds_ * static_cast<uint32_t>(hn::Lanes(di));
    const uint32_t high = Lanes(high_) - adds * std::bit_cast<uint32_t>(kHighShifter);
    const uint32_t low = Lanes(low_) - adds * std::bit_cast<uint32_t>(kLowShifter);
    return (uint64_t{high} << 18) + static_cast<uint64_t>(int64_t{static_cast<int32_t>(low)});
  }

 private:
  static constexpr float kHighShifter = 0x1p41f;
  static constexpr float kLowShifter = 0x1.8p23f;

  // Modulo 2^32, as all of these sums.
  static HWY_INLINE uint32_t Lanes(hn::Vec<DI> v) {
    return static_cast<uint32_t>(hn::GetLane(hn::SumOfLanes(DI(), v)));
  }

  hn::Vec<DI> high_;
  hn::Vec<DI> low_;
  uint32_t adds_ = 0;
};

// Weight() of each value.
HWY_INLINE void StoreWeights(VF relative, uint64_t* to) {
#if HWY_TARGET == HWY_SCALAR
  *to = Weight(hn::GetLane(relative));
#else
  using DHalf = hn::Half<DF>;
  using DD = hn::Rebind<double, DHalf>;
  using DU = hn::RebindToUnsigned<DD>;
  const DD dd;
  const DU du;
  const auto bias = hn::Set(dd, 0x1p52);
  const auto store = [&](hn::Vec<DHalf> half, uint64_t* out) HWY_ATTR {
    const auto biased = hn::MulAdd(hn::PromoteTo(dd, half), hn::Set(dd, 0x1p40), bias);
    hn::StoreU(hn::Sub(hn::BitCast(du, biased), hn::BitCast(du, bias)), du, out);
  };
  store(hn::LowerHalf(DHalf(), relative), to);
  store(hn::UpperHalf(DHalf(), relative), to + hn::Lanes(dd));
#endif
}

// Stores the lanes that `keep` has one after another: a compress in registers and a whole store,
// because some processors compress to memory very slowly.
class Compressor {
 public:
  explicit HWY_INLINE Compressor(hn::Mask<DF> keep)
#if HWY_TARGET == HWY_AVX2
      : lanes_(LanesOf(keep)) {
  }
  HWY_INLINE void Store(VF v, float* to) const {
    const DF d;
    hn::StoreU(hn::TableLookupLanes(v, hn::IndicesFromVec(d, lanes_)), d, to);
  }
  HWY_INLINE void Store(hn::Vec<DI> v, int32_t* to) const {
    const DI d;
    hn::StoreU(hn::TableLookupLanes(v, hn::IndicesFromVec(d, lanes_)), d, to);
  }

 private:
  static HWY_INLINE hn::Vec<DI> LanesOf(hn::Mask<DF> keep) {
    const hn::RebindToUnsigned<DF> du;
    uint8_t bits[8];
    hn::StoreMaskBits(DF(), keep, bits);
    const auto nibbles = hn::Set(du, kCompressTable[bits[0]]);
    const auto packed = hn::Shr(nibbles, hn::ShiftLeft<2>(hn::Iota(du, 0)));
    return hn::BitCast(DI(), hn::And(packed, hn::Set(du, 7)));
  }

  hn::Vec<DI> lanes_;
#else
      : keep_(keep) {
  }
  HWY_INLINE void Store(VF v, float* to) const { hn::StoreU(hn::Compress(v, keep_), DF(), to); }
  HWY_INLINE void Store(hn::Vec<DI> v, int32_t* to) const {
    hn::StoreU(hn::Compress(v, hn::RebindMask(DI(), keep_)), DI(), to);
  }

 private:
  hn::Mask<DF> keep_;
#endif
};

}  // namespace HWY_NAMESPACE
}  // namespace hocket::row_kernels
HWY_AFTER_NAMESPACE();

#endif  // HOCKET_RUNTIME_SAMPLING_ROW_KERNELS_INL_H_
