// Rounds an output's f32 weights to small integers. The results do not depend on the CPU.
// Stateless; any thread.
#ifndef HOCKET_RUNTIME_KERNELS_QUANTIZED_PACK_H_
#define HOCKET_RUNTIME_KERNELS_QUANTIZED_PACK_H_

#include <cstdint>

namespace hocket {

// weights[k] ~ scale * quantized[k], quantized in [-127, 127]. Returns the scale: max |w| / 127.
float QuantizeInt8(const float* weights, int64_t inputs, int8_t* quantized);

// weights[k] ~ scale * multipliers[k / group] * quantized[k], quantized in [-8, 7] and multipliers
// in 1..15, chosen for the least squared error among some candidates. Returns the scale. inputs is
// a multiple of 16, and weights past the last are zeros.
float QuantizeInt4(const float* weights, int64_t inputs, int64_t group, int8_t* quantized,
                   uint8_t* multipliers);

}  // namespace hocket

#endif  // HOCKET_RUNTIME_KERNELS_QUANTIZED_PACK_H_
