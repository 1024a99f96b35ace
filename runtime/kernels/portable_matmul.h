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

// `outputs` (at most 16) rows of weights [outputs][inputs] to a panel [inputs][16], zeros after the
// last.
template <class T>
void PackPanel(const T* weights, int64_t inputs, int64_t outputs, T* panel) {
  for (int64_t lane = 0; lane < kPanelOutputs; ++lane) {
    for (int64_t i = 0; i < inputs; ++i) {
      panel[i * kPanelOutputs + lane] = lane < outputs ? weights[lane * inputs + i] : T{};
    }
  }
}

// y [rows][y_stride] = x [rows][x_stride] times `count` panels that follow one another, in f32: 16
// columns of y for each.
void MultiplyPanels(const float* x, int64_t x_stride, int64_t rows, int64_t inputs,
                    const float* panels, int64_t count, float* y, int64_t y_stride);
void MultiplyPanels(const float* x, int64_t x_stride, int64_t rows, int64_t inputs,
                    const Bf16* panels, int64_t count, float* y, int64_t y_stride);

}  // namespace hocket

#endif  // HOCKET_RUNTIME_KERNELS_PORTABLE_MATMUL_H_
