#include "runtime/kernels/portable_matmul.h"

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
HWY_INLINE void MultiplyRows(const float* HWY_RESTRICT x, int64_t x_stride, int64_t inputs,
                             const T* HWY_RESTRICT panel,
                             float (*HWY_RESTRICT out)[kPanelOutputs]) {
  const FloatTag d;
  constexpr int kVectors = kPanelOutputs / hn::MaxLanes(FloatTag());
  constexpr int64_t kLanes = hn::MaxLanes(FloatTag());
  hn::Vec<FloatTag> sums[kRows][kVectors];
  for (auto& row : sums) {
    for (auto& sum : row) sum = hn::Zero(d);
  }
  for (int64_t k = 0; k < inputs; ++k, panel += kPanelOutputs) {
    hn::Vec<FloatTag> w[kVectors];
    for (int j = 0; j < kVectors; ++j) w[j] = LoadF32(d, panel + j * kLanes);
    for (int i = 0; i < kRows; ++i) {
      const auto element = hn::Set(d, x[i * x_stride + k]);
      for (int j = 0; j < kVectors; ++j) sums[i][j] = hn::MulAdd(element, w[j], sums[i][j]);
    }
  }
  for (int i = 0; i < kRows; ++i) {
    for (int j = 0; j < kVectors; ++j) hn::StoreU(sums[i][j], d, out[i] + j * kLanes);
  }
}

// Rows that share one pass over a panel: as many as leave their sums in registers.
constexpr int64_t kMostRows = 6;

template <class T>
void MultiplyPanelT(const float* x, int64_t x_stride, int64_t rows, int64_t inputs, const T* panel,
                    int64_t outputs, float* y, int64_t y_stride) {
  alignas(64) float out[kMostRows][kPanelOutputs];
  // Passes of nearly the same size: 8 rows as 4 and 4, which take less time than 6 and 2.
  int64_t passes = (rows + kMostRows - 1) / kMostRows;
  for (int64_t r = 0, count = 0; r < rows; r += count, --passes) {
    count = (rows - r + passes - 1) / passes;
    const float* const from = x + r * x_stride;
    switch (count) {
      case 6:
        MultiplyRows<6>(from, x_stride, inputs, panel, out);
        break;
      case 5:
        MultiplyRows<5>(from, x_stride, inputs, panel, out);
        break;
      case 4:
        MultiplyRows<4>(from, x_stride, inputs, panel, out);
        break;
      case 3:
        MultiplyRows<3>(from, x_stride, inputs, panel, out);
        break;
      case 2:
        MultiplyRows<2>(from, x_stride, inputs, panel, out);
        break;
      default:
        MultiplyRows<1>(from, x_stride, inputs, panel, out);
        break;
    }
    for (int64_t i = 0; i < count; ++i) {
      std::memcpy(y + (r + i) * y_stride, out[i], outputs * sizeof(float));
    }
  }
}

void MultiplyPanelF32(const float* x, int64_t x_stride, int64_t rows, int64_t inputs,
                      const float* panel, int64_t outputs, float* y, int64_t y_stride) {
  MultiplyPanelT(x, x_stride, rows, inputs, panel, outputs, y, y_stride);
}
void MultiplyPanelBf16(const float* x, int64_t x_stride, int64_t rows, int64_t inputs,
                       const Bf16* panel, int64_t outputs, float* y, int64_t y_stride) {
  MultiplyPanelT(x, x_stride, rows, inputs, panel, outputs, y, y_stride);
}

}  // namespace HWY_NAMESPACE
}  // namespace hocket
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace hocket {
HWY_EXPORT(MultiplyPanelF32);
HWY_EXPORT(MultiplyPanelBf16);

void MultiplyPanel(const float* x, int64_t x_stride, int64_t rows, int64_t inputs,
                   const float* panel, int64_t outputs, float* y, int64_t y_stride) {
  HWY_DYNAMIC_DISPATCH(MultiplyPanelF32)(x, x_stride, rows, inputs, panel, outputs, y, y_stride);
}
void MultiplyPanel(const float* x, int64_t x_stride, int64_t rows, int64_t inputs,
                   const Bf16* panel, int64_t outputs, float* y, int64_t y_stride) {
  HWY_DYNAMIC_DISPATCH(MultiplyPanelBf16)(x, x_stride, rows, inputs, panel, outputs, y, y_stride);
}
}  // namespace hocket
#endif
