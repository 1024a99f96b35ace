// What the sampling kernels share: relative probabilities, exact sums of weights, and compressed
// stores. Included once per instruction set by Highway's foreach_target; for runtime/sampling only.
#include <cstddef>
#include <cstdint>
#include <limits>

#include "hwy/highway.h"
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

// exp(x) for x <= 0, the coefficients of Cephes' expf; about 1 ulp. Below -30 the weight is 0.
HWY_INLINE VF ExpOfNonPositive(VF x) {
  const DF d;
  const DI di;
  x = hn::Max(x, hn::Set(d, -30.0f));
  const VF n = hn::Round(hn::Mul(x, hn::Set(d, 1.44269504088896341f)));
  VF r = hn::MulAdd(n, hn::Set(d, -0.693359375f), x);
  r = hn::MulAdd(n, hn::Set(d, 2.12194440e-4f), r);
  VF p = hn::Set(d, 1.9875691500e-4f);
  p = hn::MulAdd(p, r, hn::Set(d, 1.3981999507e-3f));
  p = hn::MulAdd(p, r, hn::Set(d, 8.3334519073e-3f));
  p = hn::MulAdd(p, r, hn::Set(d, 4.1665795894e-2f));
  p = hn::MulAdd(p, r, hn::Set(d, 1.6666665459e-1f));
  p = hn::MulAdd(p, r, hn::Set(d, 5.0000001201e-1f));
  p = hn::Add(hn::MulAdd(p, hn::Mul(r, r), r), hn::Set(d, 1.0f));
  const auto exponent = hn::ShiftLeft<23>(hn::Add(hn::ConvertTo(di, n), hn::Set(di, 127)));
  return hn::Mul(p, hn::BitCast(d, exponent));
}

// What exp is taken of: (logit - max) / temperature.
HWY_INLINE VF Exponent(VF logits, VF max, VF inverse_temperature) {
  const VF x = hn::Mul(hn::Sub(logits, max), inverse_temperature);
  // Also what makes inf - inf and 0 * inf come out as "most likely".
  return hn::IfThenZeroElse(hn::Eq(logits, max), x);
}

HWY_INLINE VF Relative(VF logits, VF max, VF inverse_temperature) {
  return ExpOfNonPositive(Exponent(logits, max, inverse_temperature));
}

#if HWY_TARGET == HWY_SCALAR
class WeightSum {
 public:
  HWY_INLINE void Add(VF relative) { total_ += Weight(hn::GetLane(relative)); }
  HWY_INLINE uint64_t Total() const { return total_; }

 private:
  uint64_t total_ = 0;
};
#else
// Adds up Weight()s. Adding 2^52 leaves the rounded integer in a double's low bits; the 2^52s are
// taken out again at the end.
class WeightSum {
 public:
  HWY_INLINE WeightSum() : low_(hn::Zero(DU())), high_(hn::Zero(DU())) {}
  HWY_INLINE void Add(VF relative) {
    const DHalf half;
    low_ = hn::Add(low_, Biased(hn::LowerHalf(half, relative)));
    high_ = hn::Add(high_, Biased(hn::UpperHalf(half, relative)));
    biases_ += 2;
  }
  HWY_INLINE uint64_t Total() const {
    const DU du;
    const auto biases = hn::Set(du, (biases_ * uint64_t{0x433}) << 52);
    return hn::GetLane(hn::SumOfLanes(du, hn::Sub(hn::Add(low_, high_), biases)));
  }

 private:
  using DHalf = hn::Half<DF>;
  using DD = hn::Rebind<double, DHalf>;
  using DU = hn::RebindToUnsigned<DD>;

  static HWY_INLINE hn::Vec<DU> Biased(hn::Vec<DHalf> relative) {
    const DD dd;
    return hn::BitCast(
        DU(), hn::MulAdd(hn::PromoteTo(dd, relative), hn::Set(dd, 0x1p40), hn::Set(dd, 0x1p52)));
  }

  hn::Vec<DU> low_;
  hn::Vec<DU> high_;
  uint64_t biases_ = 0;  // In each lane of the sum of both.
};
#endif

// A compress in registers and a whole store: some processors compress to memory very slowly.
template <class D, class V, class M>
HWY_INLINE void StoreCompressed(D d, V v, M keep, hn::TFromD<D>* to) {
  hn::StoreU(hn::Compress(v, keep), d, to);
}

}  // namespace HWY_NAMESPACE
}  // namespace hocket::row_kernels
HWY_AFTER_NAMESPACE();

#endif  // HOCKET_RUNTIME_SAMPLING_ROW_KERNELS_INL_H_
