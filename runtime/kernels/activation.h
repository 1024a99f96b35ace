// Elementwise steps of a layer: the gated activation, what follows a product, and conversions
// between f32 and bf16.
// Stateless; the caller spreads rows over threads.
#ifndef HOCKET_RUNTIME_KERNELS_ACTIVATION_H_
#define HOCKET_RUNTIME_KERNELS_ACTIVATION_H_

#include <cstdint>

#include "runtime/kernels/bf16.h"

namespace hocket {

// out[i] = silu(gate[i]) * up[i], silu(x) = x / (1 + exp(-x)) (SwiGLU; Shazeer, 2020).
// gate_up is [2 * n], the gate first; bias is [2 * n] or null; out is [n].
void SwiGlu(const float* gate_up, const float* bias, int64_t n, float* out);
void SwiGlu(const float* gate_up, const float* bias, int64_t n, Bf16* out);
// The same of a gate and an up part that lie apart, [n] each, as the units of a product give them.
void SwiGlu(const float* gate, const float* up, const float* gate_bias, const float* up_bias,
            int64_t n, float* out);

// y[i] = sums[i] + bias[i], or y[i] + (sums[i] + bias[i]) with `add`; bias [n] or null.
void StoreProduct(const float* sums, const float* bias, int64_t n, bool add, float* y);

// Bf16 targets are rounded to the nearest, ties to even.
void Convert(const float* from, int64_t n, float* to);
void Convert(const float* from, int64_t n, Bf16* to);
void Convert(const Bf16* from, int64_t n, float* to);
void Convert(const Bf16* from, int64_t n, Bf16* to);
void Convert(const F16* from, int64_t n, float* to);
void Convert(const F16* from, int64_t n, Bf16* to);

}  // namespace hocket

#endif  // HOCKET_RUNTIME_KERNELS_ACTIVATION_H_
