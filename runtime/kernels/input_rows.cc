#include <algorithm>
#include <cstring>

// The order matters: everything after foreach_target.h is read once per target.
// clang-format off
#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "runtime/kernels/input_rows.cc"
#include "hwy/foreach_target.h"  // IWYU pragma: keep
#include "hwy/highway.h"
#include "runtime/kernels/simd-inl.h"
// clang-format on

#include "runtime/kernels/activation.h"
#include "runtime/kernels/weight_matrix.h"

HWY_BEFORE_NAMESPACE();
namespace hocket {
namespace HWY_NAMESPACE {

float LargestMagnitude(const float* HWY_RESTRICT x, size_t n) {
  HWY_ALIGN float lanes[kMaxLanes] = {};
  ForEachVector(n, [&](auto d, size_t i) HWY_ATTR {
    hn::StoreU(hn::Max(hn::LoadU(d, lanes), hn::Abs(hn::LoadU(d, x + i))), d, lanes);
  });
  return *std::max_element(lanes, lanes + kMaxLanes);
}

// round(x / scale) + 128, nearest, ties to even.
void Quantize(const float* HWY_RESTRICT x, size_t n, float scale, uint8_t* HWY_RESTRICT out) {
  ForEachVector(n, [&](auto d, size_t i) HWY_ATTR {
    const hn::Rebind<int32_t, decltype(d)> di;
    const hn::Rebind<uint8_t, decltype(d)> du8;
    const auto quotient = hn::Div(hn::LoadU(d, x + i), hn::Set(d, scale));
    // A scale among the subnormals is itself rounded, which may put the quotient past 127.
    const auto limited = hn::Max(hn::Min(quotient, hn::Set(d, 127.0f)), hn::Set(d, -127.0f));
    const auto shifted = hn::Add(hn::NearestInt(limited), hn::Set(di, 128));
    hn::StoreU(hn::DemoteTo(du8, shifted), du8, out + i);
  });
}

}  // namespace HWY_NAMESPACE
}  // namespace hocket
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace hocket {
HWY_EXPORT(LargestMagnitude);
HWY_EXPORT(Quantize);

int64_t InputRowBytes(RowFormat format, int64_t inputs) {
  const int64_t element = format == RowFormat::kF32 ? 4 : format == RowFormat::kBf16 ? 2 : 1;
  return (inputs * element + 63) / 64 * 64;
}

void StoreInputRow(const float* x, int64_t inputs, int64_t row, const InputRows& rows) {
  std::byte* const to = rows.data + row * rows.stride_bytes;
  switch (rows.format) {
    case RowFormat::kF32:
      std::memcpy(to, x, inputs * sizeof(float));
      return;
    case RowFormat::kBf16:
      Convert(x, inputs, reinterpret_cast<Bf16*>(to));
      return;
    case RowFormat::kInt8: {
      const float scale = HWY_DYNAMIC_DISPATCH(LargestMagnitude)(x, inputs) / 127.0f;
      rows.scales[row] = scale;
      if (scale > 0.0f) {
        HWY_DYNAMIC_DISPATCH(Quantize)(x, inputs, scale, reinterpret_cast<uint8_t*>(to));
      } else {
        std::memset(to, 128, inputs);
      }
      return;
    }
  }
}

}  // namespace hocket
#endif
