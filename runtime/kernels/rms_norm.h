// The residual stream's bookkeeping: adds a sublayer's output to it and normalizes it for the next
// sublayer, in one pass. Stateless; the caller spreads rows over threads.
#ifndef HOCKET_RUNTIME_KERNELS_RMS_NORM_H_
#define HOCKET_RUNTIME_KERNELS_RMS_NORM_H_

#include <cstdint>

#include "runtime/kernels/bf16.h"

namespace hocket {

struct RmsNormWeights {
  const float* scale = nullptr;  // [hidden]
  float epsilon = 0;
  int32_t hidden = 0;
};

// residual [hidden] += delta [hidden] + delta_bias [hidden] (either may be null), then
// out = residual / sqrt(mean(residual^2) + epsilon) * scale (Zhang and Sennrich, 2019).
// The order of the sum depends on `hidden` alone.
void AddRmsNorm(const RmsNormWeights& weights, const float* delta, const float* delta_bias,
                float* residual, float* out);
void AddRmsNorm(const RmsNormWeights& weights, const float* delta, const float* delta_bias,
                float* residual, Bf16* out);

}  // namespace hocket

#endif  // HOCKET_RUNTIME_KERNELS_RMS_NORM_H_
