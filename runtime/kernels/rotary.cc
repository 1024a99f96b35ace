#include "runtime/kernels/rotary.h"

#include <cmath>

// The order matters: everything after foreach_target.h is read once per target.
// clang-format off
#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "runtime/kernels/rotary.cc"
#include "hwy/foreach_target.h"  // IWYU pragma: keep
#include "hwy/highway.h"
#include "runtime/kernels/simd-inl.h"
// clang-format on

HWY_BEFORE_NAMESPACE();
namespace hocket {
namespace HWY_NAMESPACE {

void RotateHeadInto(const HeadRotation& rotation, const float* x, const float* bias, float scale,
                    float* out) {
  const size_t half = rotation.head_dim / 2;
  ForEachVector(half, [&](auto d, size_t i) HWY_ATTR {
    const auto cosine = hn::LoadU(d, rotation.cosines + i);
    const auto sine = hn::LoadU(d, rotation.sines + i);
    auto low = hn::LoadU(d, x + i);
    auto high = hn::LoadU(d, x + half + i);
    if (bias != nullptr) {
      low = hn::Add(low, hn::LoadU(d, bias + i));
      high = hn::Add(high, hn::LoadU(d, bias + half + i));
    }
    const auto factor = hn::Set(d, scale);
    const auto new_low = hn::NegMulAdd(high, sine, hn::Mul(low, cosine));
    const auto new_high = hn::MulAdd(low, sine, hn::Mul(high, cosine));
    hn::StoreU(hn::Mul(new_low, factor), d, out + i);
    hn::StoreU(hn::Mul(new_high, factor), d, out + half + i);
  });
}

}  // namespace HWY_NAMESPACE
}  // namespace hocket
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace hocket {
HWY_EXPORT(RotateHeadInto);

void RotaryAngles(std::span<const float> frequencies, int32_t position, float* cosines,
                  float* sines) {
  for (size_t i = 0; i < frequencies.size(); ++i) {
    const double angle = frequencies[i] * static_cast<float>(position);
    cosines[i] = static_cast<float>(std::cos(angle));
    sines[i] = static_cast<float>(std::sin(angle));
  }
}

void RotateHead(const HeadRotation& rotation, const float* x, const float* bias, float scale,
                float* out) {
  HWY_DYNAMIC_DISPATCH(RotateHeadInto)(rotation, x, bias, scale, out);
}
}  // namespace hocket
#endif
