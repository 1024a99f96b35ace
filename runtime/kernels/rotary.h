// Rotary position embedding: queries and keys are turned by their token's position. Stateless; any
// thread.
#ifndef HOCKET_RUNTIME_KERNELS_ROTARY_H_
#define HOCKET_RUNTIME_KERNELS_ROTARY_H_

#include <cstdint>
#include <span>

namespace hocket {

// cosines and sines [frequencies.size()] of position * frequency. The angle is rounded to f32 as in
// the reference implementations, the functions are computed in double and rounded to f32.
void RotaryAngles(std::span<const float> frequencies, int32_t position, float* cosines,
                  float* sines);

// A token's rotation. Element i of a head turns with element i + head_dim / 2 (Su et al., 2021; the
// layout of Hugging Face's Llama).
struct HeadRotation {
  int32_t head_dim = 0;
  const float* cosines = nullptr;  // [head_dim / 2]
  const float* sines = nullptr;
};

// out [head_dim] = (x + bias) turned and then multiplied by `scale`; bias may be null.
void RotateHead(const HeadRotation& rotation, const float* x, const float* bias, float scale,
                float* out);

}  // namespace hocket

#endif  // HOCKET_RUNTIME_KERNELS_ROTARY_H_
