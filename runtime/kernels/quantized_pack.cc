#include "runtime/kernels/quantized_pack.h"

#include <algorithm>
#include <cmath>
#include <cstring>

// The order matters: everything after foreach_target.h is read once per target.
// clang-format off
#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "runtime/kernels/quantized_pack.cc"
#include "hwy/foreach_target.h"  // IWYU pragma: keep
#include "hwy/highway.h"
#include "runtime/kernels/simd-inl.h"
// clang-format on

HWY_BEFORE_NAMESPACE();
namespace hocket {
namespace HWY_NAMESPACE {

float LargestWeight(const float* HWY_RESTRICT weights, size_t n) {
  HWY_ALIGN float lanes[kMaxLanes] = {};
  ForEachVector(n, [&](auto d, size_t i) HWY_ATTR {
    hn::StoreU(hn::Max(hn::LoadU(d, lanes), hn::Abs(hn::LoadU(d, weights + i))), d, lanes);
  });
  float largest = 0;
  for (const float lane : lanes) largest = lane > largest ? lane : largest;
  return largest;
}

// round(w * inverse) within [low, high], nearest, ties to even.
template <class D>
HWY_INLINE hn::Vec<D> Rounded(D d, const float* weights, float inverse, float low, float high) {
  const auto quotient = hn::Round(hn::Mul(hn::LoadU(d, weights), hn::Set(d, inverse)));
  return hn::Min(hn::Max(quotient, hn::Set(d, low)), hn::Set(d, high));
}

void RoundWeights(const float* HWY_RESTRICT weights, size_t n, float inverse, float low, float high,
                  int8_t* HWY_RESTRICT quantized) {
  ForEachVector(n, [&](auto d, size_t i) HWY_ATTR {
    const hn::Rebind<int32_t, decltype(d)> di;
    const hn::Rebind<int8_t, decltype(d)> di8;
    const auto rounded = Rounded(d, weights + i, inverse, low, high);
    hn::StoreU(hn::DemoteTo(di8, hn::ConvertTo(di, rounded)), di8, quantized + i);
  });
}

// The squared error of rounding n weights, a multiple of 16, to multiples of `unit` in [-8, 7].
float Int4Error(const float* HWY_RESTRICT weights, size_t n, float unit) {
  const FloatTag d;
  const size_t lanes = hn::Lanes(d);
  const float inverse = 1.0f / unit;
  HWY_ALIGN float sums[kMaxLanes];
  for (size_t lane = 0; lane < kMaxLanes; lane += lanes) {
    auto sum = hn::Zero(d);
    for (size_t i = lane; i < n; i += kMaxLanes) {
      const auto rounded = Rounded(d, weights + i, inverse, -8.0f, 7.0f);
      const auto error = hn::Sub(hn::LoadU(d, weights + i), hn::Mul(rounded, hn::Set(d, unit)));
      sum = hn::Add(sum, hn::Mul(error, error));
    }
    hn::Store(sum, d, sums + lane);
  }
  return SumLanes(sums);
}

}  // namespace HWY_NAMESPACE
}  // namespace hocket
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace hocket {
namespace {

HWY_EXPORT(LargestWeight);
HWY_EXPORT(RoundWeights);
HWY_EXPORT(Int4Error);

constexpr int kMostMultiplier = 15;
// Of the scale at which the largest weight becomes 7 times the largest multiplier.
constexpr float kScaleFactors[] = {0.72f, 0.78f, 0.84f, 0.90f, 0.96f, 1.02f};
// Of a group's unit at which its largest weight becomes 7. Smaller ones cut the largest weights off
// and round the others more finely.
constexpr float kUnitFactors[] = {0.8f, 0.9f, 1.0f};

struct GroupChoice {
  int multiplier = 1;
  float error = 0;
};

GroupChoice ChooseMultiplier(const float* weights, int64_t count, float largest, float scale) {
  GroupChoice best;
  int previous = 0;
  for (const float factor : kUnitFactors) {
    const float wanted = largest / 7.0f * factor / scale;
    const int multiplier =
        static_cast<int>(std::clamp(std::nearbyint(wanted), 1.0f, float{kMostMultiplier}));
    if (multiplier == previous) continue;
    const float unit = scale * static_cast<float>(multiplier);
    const float error = HWY_DYNAMIC_DISPATCH(Int4Error)(weights, count, unit);
    if (previous == 0 || error < best.error) best = {multiplier, error};
    previous = multiplier;
  }
  return best;
}

// The scale that suits given integers best: least squares.
float FittedScale(const float* weights, int64_t inputs, int64_t group, const int8_t* quantized,
                  const uint8_t* multipliers, float scale) {
  double products = 0;
  double squares = 0;
  for (int64_t begin = 0; begin < inputs; begin += group) {
    double group_products = 0;
    int64_t group_squares = 0;
    for (int64_t k = begin; k < std::min(inputs, begin + group); ++k) {
      group_products += double{weights[k]} * quantized[k];
      group_squares += quantized[k] * quantized[k];
    }
    const double multiplier = multipliers[begin / group];
    products += group_products * multiplier;
    squares += static_cast<double>(group_squares) * multiplier * multiplier;
  }
  return squares > 0 ? static_cast<float>(products / squares) : scale;
}

}  // namespace

float QuantizeInt8(const float* weights, int64_t inputs, int8_t* quantized) {
  const float scale = HWY_DYNAMIC_DISPATCH(LargestWeight)(weights, inputs) / 127.0f;
  // Past the largest float the inverse of a scale is no number to multiply by.
  if (scale < 0x1p-126f) {
    std::memset(quantized, 0, inputs);
    return 0.0f;
  }
  HWY_DYNAMIC_DISPATCH(RoundWeights)(weights, inputs, 1.0f / scale, -127.0f, 127.0f, quantized);
  return scale;
}

float QuantizeInt4(const float* weights, int64_t inputs, int64_t group, int8_t* quantized,
                   uint8_t* multipliers) {
  const int64_t groups = (inputs + group - 1) / group;
  const auto count = [&](int64_t g) { return std::min(group, inputs - g * group); };
  const float largest = HWY_DYNAMIC_DISPATCH(LargestWeight)(weights, inputs);
  std::memset(quantized, 0, inputs);
  std::memset(multipliers, 1, groups);
  if (largest < 0x1p-100f) return 0.0f;

  float best_scale = 0;
  float best_error = 0;
  for (const float factor : kScaleFactors) {
    const float scale = largest * factor / (7.0f * kMostMultiplier);
    float error = 0;
    for (int64_t g = 0; g < groups; ++g) {
      const float* const w = weights + g * group;
      const float group_largest = HWY_DYNAMIC_DISPATCH(LargestWeight)(w, count(g));
      error += ChooseMultiplier(w, count(g), group_largest, scale).error;
    }
    if (best_scale == 0 || error < best_error) {
      best_scale = scale;
      best_error = error;
    }
  }
  for (int64_t g = 0; g < groups; ++g) {
    const float* const w = weights + g * group;
    const float group_largest = HWY_DYNAMIC_DISPATCH(LargestWeight)(w, count(g));
    const int multiplier = ChooseMultiplier(w, count(g), group_largest, best_scale).multiplier;
    multipliers[g] = static_cast<uint8_t>(multiplier);
    const float unit = best_scale * static_cast<float>(multiplier);
    HWY_DYNAMIC_DISPATCH(RoundWeights)
    (w, count(g), 1.0f / unit, -8.0f, 7.0f, quantized + g * group);
  }
  return FittedScale(weights, inputs, group, quantized, multipliers, best_scale);
}

}  // namespace hocket
#endif
