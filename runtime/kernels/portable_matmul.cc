#include "runtime/kernels/portable_matmul.h"

#include <algorithm>

// The order matters: everything after foreach_target.h is read once per target.
// clang-format off
#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "runtime/kernels/portable_matmul.cc"
#include "hwy/foreach_target.h"  // IWYU pragma: keep
#include "hwy/cache_control.h"
#include "hwy/highway.h"
#include "runtime/kernels/simd-inl.h"
// clang-format on

HWY_BEFORE_NAMESPACE();
namespace hocket {
namespace HWY_NAMESPACE {

// Vectors in a panel's 16 columns: two of 8, one of 16, or four of 4.
constexpr int kVectors = kPanelOutputs / hn::MaxLanes(FloatTag());

// Rows that share a pass over panels, at most, and panels that share one over as many rows: as many
// as leave sums and weights in registers, and enough sums that none waits long for the one before.
constexpr int kMostRows = 6;
constexpr int PanelsWith(int rows) {
  if (kVectors == 1) return 4;
  return kVectors == 2 && rows <= 2 ? 2 : 1;
}

// How far ahead of the first pass weights are fetched, in elements.
constexpr int64_t kAhead = 1024;

// Adds `count` inputs' products to y, or makes y of them when `first`. Panels lie panel_stride
// elements apart. An output is summed over its inputs one after another, whatever the tile.
template <int kRows, int kPanels, bool kFetch, class T>
HWY_INLINE void MultiplyTile(const float* HWY_RESTRICT x, int64_t x_stride, int64_t count,
                             const T* HWY_RESTRICT panels, int64_t panel_stride, bool first,
                             float* HWY_RESTRICT y, int64_t y_stride) {
  const FloatTag d;
  constexpr int64_t kLanes = hn::MaxLanes(FloatTag());
  constexpr int kWidth = kPanels * kVectors;
  hn::Vec<FloatTag> sums[kRows][kWidth];
  HWY_UNROLL(6)
  for (int i = 0; i < kRows; ++i) {
    HWY_UNROLL(16)
    for (int j = 0; j < kWidth; ++j) {
      sums[i][j] = first ? hn::Zero(d) : hn::LoadU(d, y + i * y_stride + j * kLanes);
    }
  }
  for (int64_t k = 0; k < count; ++k, panels += kPanelOutputs) {
    hn::Vec<FloatTag> w[kWidth];
    if constexpr (kFetch) {
      HWY_UNROLL(4)
      for (int p = 0; p < kPanels; ++p) hwy::Prefetch(panels + p * panel_stride + kAhead);
    }
    HWY_UNROLL(16)
    for (int j = 0; j < kWidth; ++j) {
      w[j] = LoadF32(d, panels + j / kVectors * panel_stride + j % kVectors * kLanes);
    }
    HWY_UNROLL(6)
    for (int i = 0; i < kRows; ++i) {
      const auto element = hn::Set(d, x[i * x_stride + k]);
      HWY_UNROLL(16)
      for (int j = 0; j < kWidth; ++j) sums[i][j] = hn::MulAdd(element, w[j], sums[i][j]);
    }
  }
  HWY_UNROLL(6)
  for (int i = 0; i < kRows; ++i) {
    HWY_UNROLL(16)
    for (int j = 0; j < kWidth; ++j) hn::StoreU(sums[i][j], d, y + i * y_stride + j * kLanes);
  }
}

// All rows, in passes of kRows or one less.
template <int kRows, int kPanels, class T>
HWY_NOINLINE void MultiplyPasses(const float* x, int64_t x_stride, int64_t rows, int64_t inputs,
                                 const T* panels, float* y, int64_t y_stride) {
  // With several passes, inputs so few that the panels' part stays in the first-level cache.
  const int64_t part = rows <= kRows ? inputs : kPanels == 1 ? 256 : 128;
  for (int64_t k = 0; k < inputs; k += part) {
    const int64_t count = std::min(part, inputs - k);
    const T* const from = panels + k * kPanelOutputs;
    const int64_t stride = inputs * kPanelOutputs;
    // The first pass, of kRows, reads the weights for all. With few rows the processor's own
    // fetching is enough, and more is in its way.
    constexpr bool kFetch = kRows * sizeof(float) / sizeof(T) >= 3;
    MultiplyTile<kRows, kPanels, kFetch>(x + k, x_stride, count, from, stride, k == 0, y, y_stride);
    int64_t passes = (rows - 1) / kRows;
    for (int64_t r = kRows; r < rows; --passes) {
      const float* const x_part = x + r * x_stride + k;
      float* const y_rows = y + r * y_stride;
      if (rows - r > passes * (kRows - 1)) {
        MultiplyTile<kRows, kPanels, false>(x_part, x_stride, count, from, stride, k == 0, y_rows,
                                            y_stride);
        r += kRows;
      } else if constexpr (kRows > 1) {
        MultiplyTile<kRows - 1, kPanels, false>(x_part, x_stride, count, from, stride, k == 0,
                                                y_rows, y_stride);
        r += kRows - 1;
      }
    }
  }
}

template <int kRows, class T>
void MultiplyEach(const float* x, int64_t x_stride, int64_t rows, int64_t inputs, const T* panels,
                  int64_t count, float* y, int64_t y_stride) {
  constexpr int kPanels = PanelsWith(kRows);
  int64_t p = 0;
  for (; p + kPanels <= count; p += kPanels) {
    MultiplyPasses<kRows, kPanels>(x, x_stride, rows, inputs, panels + p * inputs * kPanelOutputs,
                                   y + p * kPanelOutputs, y_stride);
  }
  for (; p < count; ++p) {
    MultiplyPasses<kRows, 1>(x, x_stride, rows, inputs, panels + p * inputs * kPanelOutputs,
                             y + p * kPanelOutputs, y_stride);
  }
}

template <class T>
void MultiplyPanelsT(const float* x, int64_t x_stride, int64_t rows, int64_t inputs,
                     const T* panels, int64_t count, float* y, int64_t y_stride) {
  // Passes of nearly the same size: 8 rows as 4 and 4, which take less time than 6 and 2.
  const int64_t passes = (rows + kMostRows - 1) / kMostRows;
  switch (passes == 0 ? 0 : (rows + passes - 1) / passes) {
    case 6:
      return MultiplyEach<6>(x, x_stride, rows, inputs, panels, count, y, y_stride);
    case 5:
      return MultiplyEach<5>(x, x_stride, rows, inputs, panels, count, y, y_stride);
    case 4:
      return MultiplyEach<4>(x, x_stride, rows, inputs, panels, count, y, y_stride);
    case 3:
      return MultiplyEach<3>(x, x_stride, rows, inputs, panels, count, y, y_stride);
    case 2:
      return MultiplyEach<2>(x, x_stride, rows, inputs, panels, count, y, y_stride);
    case 1:
      return MultiplyEach<1>(x, x_stride, rows, inputs, panels, count, y, y_stride);
    default:
      return;
  }
}

void MultiplyPanelsF32(const float* x, int64_t x_stride, int64_t rows, int64_t inputs,
                       const float* panels, int64_t count, float* y, int64_t y_stride) {
  MultiplyPanelsT(x, x_stride, rows, inputs, panels, count, y, y_stride);
}
void MultiplyPanelsBf16(const float* x, int64_t x_stride, int64_t rows, int64_t inputs,
                        const Bf16* panels, int64_t count, float* y, int64_t y_stride) {
  MultiplyPanelsT(x, x_stride, rows, inputs, panels, count, y, y_stride);
}

}  // namespace HWY_NAMESPACE
}  // namespace hocket
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace hocket {
HWY_EXPORT(MultiplyPanelsF32);
HWY_EXPORT(MultiplyPanelsBf16);

void MultiplyPanels(const float* x, int64_t x_stride, int64_t rows, int64_t inputs,
                    const float* panels, int64_t count, float* y, int64_t y_stride) {
  HWY_DYNAMIC_DISPATCH(MultiplyPanelsF32)
  (x, x_stride, rows, inputs, panels, count, y, y_stride);
}
void MultiplyPanels(const float* x, int64_t x_stride, int64_t rows, int64_t inputs,
                    const Bf16* panels, int64_t count, float* y, int64_t y_stride) {
  HWY_DYNAMIC_DISPATCH(MultiplyPanelsBf16)
  (x, x_stride, rows, inputs, panels, count, y, y_stride);
}
}  // namespace hocket
#endif
