#include "runtime/kernels/portable_matmul.h"

#include <algorithm>
#include <cstring>

// The order matters: everything after foreach_target.h is read once per target.
// clang-format off
#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "runtime/kernels/portable_matmul.cc"
#include "hwy/foreach_target.h"  // IWYU pragma: keep
#include "hwy/highway.h"
#include "runtime/kernels/simd-inl.h"
// clang-format on

HWY_BEFORE_NAMESPACE();
namespace hocket {
namespace HWY_NAMESPACE {

// Two vectors of 8, one of 16, or four of 4, always 16 outputs.
template <int kRows, class T>
HWY_INLINE void MultiplyRows(const float* HWY_RESTRICT x, int64_t inputs,
                             const T* HWY_RESTRICT packed,
                             float (*HWY_RESTRICT out)[kPanelOutputs]) {
  const FloatTag d;
  constexpr int kVectors = kPanelOutputs / hn::MaxLanes(FloatTag());
  constexpr int64_t kLanes = hn::MaxLanes(FloatTag());
  hn::Vec<FloatTag> sums[kRows][kVectors];
  for (auto& row : sums) {
    for (auto& sum : row) sum = hn::Zero(d);
  }
  for (int64_t k = 0; k < inputs; ++k, packed += kPanelOutputs) {
    hn::Vec<FloatTag> w[kVectors];
    for (int j = 0; j < kVectors; ++j) w[j] = LoadF32(d, packed + j * kLanes);
    for (int i = 0; i < kRows; ++i) {
      const auto element = hn::Set(d, x[i * inputs + k]);
      for (int j = 0; j < kVectors; ++j) sums[i][j] = hn::MulAdd(element, w[j], sums[i][j]);
    }
  }
  for (int i = 0; i < kRows; ++i) {
    for (int j = 0; j < kVectors; ++j) hn::StoreU(sums[i][j], d, out[i] + j * kLanes);
  }
}

template <class T>
void MultiplyPanelT(const float* x, int64_t rows, int64_t inputs, const T* packed, int64_t panel,
                    int64_t outputs, float* y) {
  constexpr int kRows = 6;
  alignas(64) float out[kRows][kPanelOutputs];
  const T* weights = packed + panel * kPanelOutputs * inputs;
  const int64_t first = panel * kPanelOutputs;
  const int64_t count = std::min<int64_t>(kPanelOutputs, outputs - first);
  for (int64_t r = 0; r < rows;) {
    int64_t done = 0;
    const float* row = x + r * inputs;
    if (rows - r >= kRows) {
      MultiplyRows<kRows>(row, inputs, weights, out);
      done = kRows;
    } else if (rows - r >= 2) {
      MultiplyRows<2>(row, inputs, weights, out);
      done = 2;
    } else {
      MultiplyRows<1>(row, inputs, weights, out);
      done = 1;
    }
    for (int64_t i = 0; i < done; ++i) {
      std::memcpy(y + (r + i) * outputs + first, out[i], count * sizeof(float));
    }
    r += done;
  }
}

void MultiplyPanelF32(const float* x, int64_t rows, int64_t inputs, const float* packed,
                      int64_t panel, int64_t outputs, float* y) {
  MultiplyPanelT(x, rows, inputs, packed, panel, outputs, y);
}
void MultiplyPanelBf16(const float* x, int64_t rows, int64_t inputs, const Bf16* packed,
                       int64_t panel, int64_t outputs, float* y) {
  MultiplyPanelT(x, rows, inputs, packed, panel, outputs, y);
}

}  // namespace HWY_NAMESPACE
}  // namespace hocket
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace hocket {
HWY_EXPORT(MultiplyPanelF32);
HWY_EXPORT(MultiplyPanelBf16);

void MultiplyPanel(const float* x, int64_t rows, int64_t inputs, const float* packed, int64_t panel,
                   int64_t outputs, float* y) {
  HWY_DYNAMIC_DISPATCH(MultiplyPanelF32)(x, rows, inputs, packed, panel, outputs, y);
}
void MultiplyPanel(const float* x, int64_t rows, int64_t inputs, const Bf16* packed, int64_t panel,
                   int64_t outputs, float* y) {
  HWY_DYNAMIC_DISPATCH(MultiplyPanelBf16)(x, rows, inputs, packed, panel, outputs, y);
}
}  // namespace hocket
#endif
