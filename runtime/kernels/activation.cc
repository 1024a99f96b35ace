#include "runtime/kernels/activation.h"

#include <cstring>

// The order matters: everything after foreach_target.h is read once per target.
// clang-format off
#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "runtime/kernels/activation.cc"
#include "hwy/foreach_target.h"  // IWYU pragma: keep
#include "hwy/highway.h"
#include "runtime/kernels/activation-inl.h"
#include "runtime/kernels/simd-inl.h"
// clang-format on

HWY_BEFORE_NAMESPACE();
namespace hocket {
namespace HWY_NAMESPACE {

template <class Out>
void SwiGluT(const float* gates, const float* ups, const float* gate_bias, const float* up_bias,
             size_t n, Out* out) {
  ForEachVector(n, [&](auto d, size_t i) HWY_ATTR {
    auto gate = hn::LoadU(d, gates + i);
    auto up = hn::LoadU(d, ups + i);
    if (gate_bias != nullptr) {
      gate = hn::Add(gate, hn::LoadU(d, gate_bias + i));
      up = hn::Add(up, hn::LoadU(d, up_bias + i));
    }
    StoreF32(d, SiluTimes(d, gate, up), out + i);
  });
}

void SwiGluF32(const float* gates, const float* ups, const float* gate_bias, const float* up_bias,
               size_t n, float* out) {
  SwiGluT(gates, ups, gate_bias, up_bias, n, out);
}
void SwiGluBf16(const float* gate_up, const float* bias, size_t n, Bf16* out) {
  SwiGluT(gate_up, gate_up + n, bias, bias == nullptr ? nullptr : bias + n, n, out);
}
void StoreProductRow(const float* x, const float* bias, size_t n, bool add, float* y) {
  ForEachVector(n, [&](auto d, size_t i) HWY_ATTR {
    auto value = hn::LoadU(d, x + i);
    if (bias != nullptr) value = hn::Add(value, hn::LoadU(d, bias + i));
    if (add) value = hn::Add(hn::LoadU(d, y + i), value);
    hn::StoreU(value, d, y + i);
  });
}

void RoundToBf16(const float* from, size_t n, Bf16* to) {
  ForEachVector(n, [&](auto d, size_t i) HWY_ATTR { StoreF32(d, hn::LoadU(d, from + i), to + i); });
}
void WidenBf16(const Bf16* from, size_t n, float* to) {
  ForEachVector(n, [&](auto d, size_t i) HWY_ATTR { hn::StoreU(LoadF32(d, from + i), d, to + i); });
}

}  // namespace HWY_NAMESPACE
}  // namespace hocket
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace hocket {
HWY_EXPORT(SwiGluF32);
HWY_EXPORT(SwiGluBf16);
HWY_EXPORT(StoreProductRow);
HWY_EXPORT(RoundToBf16);
HWY_EXPORT(WidenBf16);

void SwiGlu(const float* gate_up, const float* bias, int64_t n, float* out) {
  SwiGlu(gate_up, gate_up + n, bias, bias == nullptr ? nullptr : bias + n, n, out);
}
void SwiGlu(const float* gate, const float* up, const float* gate_bias, const float* up_bias,
            int64_t n, float* out) {
  HWY_DYNAMIC_DISPATCH(SwiGluF32)(gate, up, gate_bias, up_bias, n, out);
}
void SwiGlu(const float* gate_up, const float* bias, int64_t n, Bf16* out) {
  HWY_DYNAMIC_DISPATCH(SwiGluBf16)(gate_up, bias, n, out);
}

void StoreProduct(const float* sums, const float* bias, int64_t n, bool add, float* y) {
  HWY_DYNAMIC_DISPATCH(StoreProductRow)(sums, bias, n, add, y);
}

void Convert(const float* from, int64_t n, float* to) { std::memcpy(to, from, n * sizeof(float)); }
void Convert(const float* from, int64_t n, Bf16* to) {
  HWY_DYNAMIC_DISPATCH(RoundToBf16)(from, n, to);
}
void Convert(const Bf16* from, int64_t n, float* to) {
  HWY_DYNAMIC_DISPATCH(WidenBf16)(from, n, to);
}
void Convert(const Bf16* from, int64_t n, Bf16* to) { std::memcpy(to, from, n * sizeof(Bf16)); }
void Convert(const F16* from, int64_t n, float* to) {
  for (int64_t i = 0; i < n; ++i) to[i] = ToF32(from[i]);
}
void Convert(const F16* from, int64_t n, Bf16* to) {
  for (int64_t i = 0; i < n; ++i) to[i] = ToBf16(ToF32(from[i]));
}
}  // namespace hocket
#endif
