// Loads, stores and loops that the Highway kernels share. Included once per target, from inside a
// kernel's own source after foreach_target.h.
#if defined(HOCKET_RUNTIME_KERNELS_SIMD_INL_H_) == defined(HWY_TARGET_TOGGLE)
#ifdef HOCKET_RUNTIME_KERNELS_SIMD_INL_H_
#undef HOCKET_RUNTIME_KERNELS_SIMD_INL_H_
#else
#define HOCKET_RUNTIME_KERNELS_SIMD_INL_H_
#endif

#include <cstddef>
#include <cstdint>

#include "hwy/highway.h"
#include "runtime/kernels/bf16.h"

HWY_BEFORE_NAMESPACE();
namespace hocket {
namespace HWY_NAMESPACE {
namespace hn = hwy::HWY_NAMESPACE;

// At most 16 floats: sums kept in 16 lanes then mean the same on every machine.
inline constexpr size_t kMaxLanes = 16;
using FloatTag = hn::CappedTag<float, kMaxLanes>;

template <class D>
HWY_INLINE hn::Vec<D> LoadF32(D d, const float* HWY_RESTRICT p) {
  return hn::LoadU(d, p);
}

template <class D>
HWY_INLINE hn::Vec<D> LoadF32(D d, const Bf16* HWY_RESTRICT p) {
  const hn::Rebind<uint16_t, D> d16;
  const hn::Rebind<uint32_t, D> d32;
  const auto bits = hn::LoadU(d16, reinterpret_cast<const uint16_t*>(p));
  return hn::BitCast(d, hn::ShiftLeft<16>(hn::PromoteTo(d32, bits)));
}

template <class D>
HWY_INLINE void StoreF32(D d, hn::Vec<D> v, float* HWY_RESTRICT p) {
  hn::StoreU(v, d, p);
}

// Rounds to the nearest, ties to even; NaN stays NaN.
template <class D>
HWY_INLINE void StoreF32(D /*d*/, hn::Vec<D> v, Bf16* HWY_RESTRICT p) {
  const hn::Rebind<uint16_t, D> d16;
  const hn::Rebind<uint32_t, D> d32;
  const hn::Rebind<int32_t, D> di32;
  const auto bits = hn::BitCast(d32, v);
  const auto odd = hn::And(hn::ShiftRight<16>(bits), hn::Set(d32, 1u));
  const auto rounded = hn::Add(bits, hn::Add(odd, hn::Set(d32, 0x7fffu)));
  const auto safe =
      hn::IfThenElse(hn::RebindMask(d32, hn::IsNaN(v)), hn::Set(d32, 0x7fc00000u), rounded);
  const auto high = hn::BitCast(di32, hn::ShiftRight<16>(safe));
  hn::StoreU(hn::DemoteTo(d16, high), d16, reinterpret_cast<uint16_t*>(p));
}

// Calls f(tag, index) over [0, n) by whole vectors, then by single lanes.
template <class F>
HWY_INLINE void ForEachVector(size_t n, F&& f) {
  const FloatTag d;
  size_t i = 0;
  for (; i + hn::Lanes(d) <= n; i += hn::Lanes(d)) f(d, i);
  for (; i < n; ++i) f(hn::CappedTag<float, 1>(), i);
}

// Sums 16 lanes in one fixed order.
HWY_INLINE float SumLanes(const float* HWY_RESTRICT lanes) {
  float s[8];
  for (int i = 0; i < 8; ++i) s[i] = lanes[i] + lanes[i + 8];
  for (int i = 0; i < 4; ++i) s[i] += s[i + 4];
  return (s[0] + s[2]) + (s[1] + s[3]);
}

}  // namespace HWY_NAMESPACE
}  // namespace hocket
HWY_AFTER_NAMESPACE();

#endif
