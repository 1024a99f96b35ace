#include "runtime/kernels/rms_norm.h"

#include <cmath>

// The order matters: everything after foreach_target.h is read once per target.
// clang-format off
#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "runtime/kernels/rms_norm.cc"
#include "hwy/foreach_target.h"  // IWYU pragma: keep
#include "hwy/highway.h"
#include "runtime/kernels/simd-inl.h"
// clang-format on

HWY_BEFORE_NAMESPACE();
namespace hocket {
namespace HWY_NAMESPACE {

void AddDelta(const float* delta, const float* bias, size_t n, float* residual) {
  if (delta == nullptr) return;
  ForEachVector(n, [&](auto d, size_t i) HWY_ATTR {
    auto sum = hn::LoadU(d, delta + i);
    if (bias != nullptr) sum = hn::Add(sum, hn::LoadU(d, bias + i));
    hn::StoreU(hn::Add(hn::LoadU(d, residual + i), sum), d, residual + i);
  });
}

// Element i is added in lane i % 16, whatever the vector's width.
float SumOfSquares(const float* x, size_t n) {
  const FloatTag d;
  alignas(64) float lanes[kMaxLanes] = {};
  const size_t whole = n / kMaxLanes * kMaxLanes;
  for (size_t lane = 0; lane < kMaxLanes; lane += hn::Lanes(d)) {
    auto sum = hn::Zero(d);
    for (size_t i = lane; i < whole; i += kMaxLanes) {
      const auto v = hn::LoadU(d, x + i);
      sum = hn::MulAdd(v, v, sum);
    }
    hn::StoreU(sum, d, lanes + lane);
  }
  for (size_t i = whole; i < n; ++i) lanes[i - whole] += x[i] * x[i];
  return SumLanes(lanes);
}

template <class Out>
void AddRmsNormT(const RmsNormWeights& weights, const float* delta, const float* bias,
                 float* residual, Out* out) {
  const size_t n = weights.hidden;
  AddDelta(delta, bias, n, residual);
  const float mean = SumOfSquares(residual, n) / static_cast<float>(n);
  const float inverse = 1.0f / std::sqrt(mean + weights.epsilon);
  ForEachVector(n, [&](auto d, size_t i) HWY_ATTR {
    const auto normed = hn::Mul(hn::LoadU(d, residual + i), hn::Set(d, inverse));
    StoreF32(d, hn::Mul(normed, hn::LoadU(d, weights.scale + i)), out + i);
  });
}

void AddRmsNormF32(const RmsNormWeights& w, const float* delta, const float* bias, float* residual,
                   float* out) {
  AddRmsNormT(w, delta, bias, residual, out);
}
void AddRmsNormBf16(const RmsNormWeights& w, const float* delta, const float* bias, float* residual,
                    Bf16* out) {
  AddRmsNormT(w, delta, bias, residual, out);
}

}  // namespace HWY_NAMESPACE
}  // namespace hocket
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace hocket {
HWY_EXPORT(AddRmsNormF32);
HWY_EXPORT(AddRmsNormBf16);

void AddRmsNorm(const RmsNormWeights& weights, const float* delta, const float* delta_bias,
                float* residual, float* out) {
  HWY_DYNAMIC_DISPATCH(AddRmsNormF32)(weights, delta, delta_bias, residual, out);
}
void AddRmsNorm(const RmsNormWeights& weights, const float* delta, const float* delta_bias,
                float* residual, Bf16* out) {
  HWY_DYNAMIC_DISPATCH(AddRmsNormBf16)(weights, delta, delta_bias, residual, out);
}
}  // namespace hocket
#endif
