// From the integer sums of a quantized product to its f32 results: scales, bias, the residual sum
// or the gated activation. Stateless; any thread.
#ifndef HOCKET_RUNTIME_KERNELS_INT8_PRODUCT_H_
#define HOCKET_RUNTIME_KERNELS_INT8_PRODUCT_H_

#include <cstdint>

namespace hocket {

// What the columns of a panel are multiplied by and added to, from the panel's first column on.
struct PanelScales {
  const int32_t* compensation = nullptr;  // Subtracted from the sums.
  const float* scales = nullptr;
  const float* bias = nullptr;  // Or null.
};

// y[c] = float(sums[c] - compensation[c]) * (row_scale * scales[c]) + bias[c], each step rounded.
void FinishRow(const int32_t* sums, float row_scale, const PanelScales& panel, int64_t columns,
               float* y);
// y[c] += the same.
void FinishRowAdding(const int32_t* sums, float row_scale, const PanelScales& panel,
                     int64_t columns, float* y);
// y[c] = silu(the same of the gate) * the same of up.
void FinishGatedRow(const int32_t* gate_sums, const int32_t* up_sums, float row_scale,
                    const PanelScales& gate, const PanelScales& up, int64_t columns, float* y);

}  // namespace hocket

#endif  // HOCKET_RUNTIME_KERNELS_INT8_PRODUCT_H_
