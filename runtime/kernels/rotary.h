// Between the query/key/value projection and attention: adds biases, rotates queries and keys by
// their position and puts keys and values into their block. Stateless; the caller spreads tokens
// over threads.
#ifndef HOCKET_RUNTIME_KERNELS_ROTARY_H_
#define HOCKET_RUNTIME_KERNELS_ROTARY_H_

#include <cstdint>
#include <span>

#include "runtime/kernels/bf16.h"
#include "runtime/kernels/kv_layout.h"

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

struct RotaryToken {
  float* qkv = nullptr;            // [(heads + 2 * kv_heads) * head_dim]; queries change in place.
  const float* bias = nullptr;     // Same shape, or null.
  const float* cosines = nullptr;  // [head_dim / 2]
  const float* sines = nullptr;
  int32_t heads = 0;
  int32_t block = 0;  // Where the token's key and value go.
  int32_t slot = 0;   // Position within the block.
};

// Rotates halves: element i is paired with i + head_dim / 2 (Su et al., 2021; the layout of Hugging
// Face's Llama). Queries are then scaled by 1 / sqrt(head_dim). keys and values are a layer's.
void RotateAndStore(const KvLayout& layout, const RotaryToken& token, float* keys, float* values);
void RotateAndStore(const KvLayout& layout, const RotaryToken& token, Bf16* keys, Bf16* values);

}  // namespace hocket

#endif  // HOCKET_RUNTIME_KERNELS_ROTARY_H_
