#include "runtime/kernels/int8_dot.h"

#include "runtime/kernels/int8_dot_kernels.h"

namespace hocket {
namespace {

constexpr int64_t kStepBytes = kPanelOutputs * 4;

// Plain C++ for CPUs without a kernel of their own.
void DotInt8(const DotRows& rows, const DotPanel& panel, const DotSums& sums) {
  const auto* const weights = reinterpret_cast<const int8_t*>(panel.weights);
  for (int64_t r = 0; r < rows.count; ++r) {
    const uint8_t* const x = rows.data + r * rows.stride;
    int32_t sum[kPanelOutputs] = {};
    for (int64_t k = 0; k < panel.inputs; k += 4) {
      const int8_t* const w = weights + k * kPanelOutputs;
      for (int64_t n = 0; n < kPanelOutputs; ++n) {
        sum[n] += x[k] * w[n * 4] + x[k + 1] * w[n * 4 + 1] + x[k + 2] * w[n * 4 + 2] +
                  x[k + 3] * w[n * 4 + 3];
      }
    }
    for (int64_t n = 0; n < kPanelOutputs; ++n) sums.data[r * sums.stride + n] = sum[n];
  }
}

void UnpackInt4(const DotPanel& panel, uint8_t* unpacked) {
  constexpr int64_t kHalf = kStepBytes / 2;
  for (int64_t k = 0; k < panel.inputs; k += 4) {
    const uint8_t* const from = panel.weights + k / 4 * kHalf;
    const uint8_t* const multipliers = panel.multipliers + k / panel.group * kPanelOutputs;
    uint8_t* const to = unpacked + k / 4 * kStepBytes;
    for (int64_t j = 0; j < kHalf; ++j) {
      const int low = static_cast<int8_t>(from[j] << 4) >> 4;
      const int high = static_cast<int8_t>(from[j]) >> 4;
      to[j] = static_cast<uint8_t>(low * multipliers[j / 4]);
      to[j + kHalf] = static_cast<uint8_t>(high * multipliers[(j + kHalf) / 4]);
    }
  }
}

}  // namespace

const Int8DotKernel kPortableDot = {
    .name = "portable",
    .int8 = {.dot = DotInt8},
    .int4 = {.dot = nullptr,
             .unpack_rows = 1,
             .unpacked_bytes = 1,
             .unpacks_to_int8_panel = true,
             .unpack = UnpackInt4,
             .dot_unpacked = DotInt8},
};

std::vector<const Int8DotKernel*> SupportedInt8DotKernels() {
  std::vector<const Int8DotKernel*> kernels;
#if defined(__x86_64__)
  if (HasAvx512Vnni()) kernels.push_back(&kAvx512VnniDot);
  if (HasAvxVnni()) kernels.push_back(&kAvxVnniDot);
  if (HasAvx2()) kernels.push_back(&kAvx2Dot);
#endif
  kernels.push_back(&kPortableDot);
  return kernels;
}

const Int8DotKernel& BestInt8DotKernel() {
  static const Int8DotKernel& best = *SupportedInt8DotKernels().front();
  return best;
}

}  // namespace hocket
