#include "runtime/kernels/int8_dot.h"

#include "runtime/kernels/int8_dot_kernels.h"

namespace hocket {
namespace {

constexpr int64_t kStepBytes = kPanelOutputs * 4;

// Plain C++ for CPUs without a kernel of their own.
void DotInt8(const DotRows& rows, const int8_t* panel, int64_t inputs, const DotSums& sums) {
  for (int64_t r = 0; r < rows.count; ++r) {
    const uint8_t* const x = rows.data + r * rows.stride;
    int32_t sum[kPanelOutputs] = {};
    for (int64_t k = 0; k < inputs; k += 4) {
      const int8_t* const w = panel + k * kPanelOutputs;
      for (int64_t n = 0; n < kPanelOutputs; ++n) {
        sum[n] += x[k] * w[n * 4] + x[k + 1] * w[n * 4 + 1] + x[k + 2] * w[n * 4 + 2] +
                  x[k + 3] * w[n * 4 + 3];
      }
    }
    for (int64_t n = 0; n < kPanelOutputs; ++n) sums.data[r * sums.stride + n] = sum[n];
  }
}

void UnpackInt4(const uint8_t* panel, const DotGroups& groups, int64_t inputs, int8_t* unpacked) {
  constexpr int64_t kHalf = kStepBytes / 2;
  for (int64_t k = 0; k < inputs; k += 4) {
    const uint8_t* const from = panel + k / 4 * kHalf;
    const uint8_t* const multipliers = groups.multipliers + k / groups.inputs * kPanelOutputs;
    int8_t* const to = unpacked + k / 4 * kStepBytes;
    for (int64_t j = 0; j < kHalf; ++j) {
      const int low = static_cast<int8_t>(from[j] << 4) >> 4;
      const int high = static_cast<int8_t>(from[j]) >> 4;
      to[j] = static_cast<int8_t>(low * multipliers[j / 4]);
      to[j + kHalf] = static_cast<int8_t>(high * multipliers[(j + kHalf) / 4]);
    }
  }
}

void DotUnpacked(const DotRows& rows, const int8_t* unpacked, const DotGroups& /*groups*/,
                 int64_t inputs, const DotSums& sums) {
  DotInt8(rows, unpacked, inputs, sums);
}

}  // namespace

const Int8DotKernel kPortableDot = {
    .name = "portable",
    .prepared_bytes = 0,
    .prepare_rows = nullptr,
    .dot_int8 = DotInt8,
    .int4_unpack_rows = 0,
    .dot_int4 = nullptr,
    .unpack_int4 = UnpackInt4,
    .dot_unpacked = DotUnpacked,
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
