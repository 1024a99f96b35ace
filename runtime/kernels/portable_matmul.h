// A matrix product written with Highway, for machines on which oneDNN's would give a row different
// bits in different batches (measured: its AVX2 and non-native bf16 kernels). Each output element
// is summed over the inputs one after another, so neither rows, threads nor vector width matter.
// Stateless; the caller spreads panels over threads.
#ifndef HOCKET_RUNTIME_KERNELS_PORTABLE_MATMUL_H_
#define HOCKET_RUNTIME_KERNELS_PORTABLE_MATMUL_H_

#include <cstdint>

#include "runtime/kernels/bf16.h"

namespace hocket {

inline constexpr int32_t kPanelOutputs = 16;

inline int64_t PanelCount(int64_t outputs) { return (outputs + kPanelOutputs - 1) / kPanelOutputs; }
inline int64_t PackedPanelElements(int64_t inputs, int64_t outputs) {
  return PanelCount(outputs) * kPanelOutputs * inputs;
}

// weights [outputs][inputs] to packed [panel][inputs][16], zeros after the last output.
template <class T>
void PackPanel(const T* weights, int64_t inputs, int64_t outputs, int64_t panel, T* packed) {
  T* to = packed + panel * kPanelOutputs * inputs;
  for (int64_t lane = 0; lane < kPanelOutputs; ++lane) {
    const int64_t output = panel * kPanelOutputs + lane;
    for (int64_t i = 0; i < inputs; ++i) {
      to[i * kPanelOutputs + lane] = output < outputs ? weights[output * inputs + i] : T{};
    }
  }
}

// y[r][panel * 16 ...] = x [rows][inputs] times one panel, in f32; y is [rows][outputs].
void MultiplyPanel(const float* x, int64_t rows, int64_t inputs, const float* packed, int64_t panel,
                   int64_t outputs, float* y);
void MultiplyPanel(const float* x, int64_t rows, int64_t inputs, const Bf16* packed, int64_t panel,
                   int64_t outputs, float* y);

}  // namespace hocket

#endif  // HOCKET_RUNTIME_KERNELS_PORTABLE_MATMUL_H_
