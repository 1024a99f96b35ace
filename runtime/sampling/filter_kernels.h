// Vectorized passes that only some rows need: masks over the vocabulary, the spread of the logits,
// and the steps of typical-p. As row_kernels.h: pure functions, the same bits on every instruction
// set with fused multiply-add, any thread.
#ifndef HOCKET_RUNTIME_SAMPLING_FILTER_KERNELS_H_
#define HOCKET_RUNTIME_SAMPLING_FILTER_KERNELS_H_

#include <cstddef>
#include <cstdint>

#include "runtime/sampling/row_kernels.h"

namespace hocket::row_kernels {

// Bring `chunk_max` up to date after the logits of `ids` have changed; returns the row's maximum.
float RescanChunks(const float* logits, size_t n, const int32_t* ids, size_t count,
                   float* chunk_max);

// Copies the logits whose bit is set in `mask` (and in `other`, where not null) and -inf in place
// of the rest; `masked`: [n + kSlack]. Bit i of a mask is bit i % 32 of word i / 32. Fills
// `chunk_max` and returns the row's maximum.
float MaskRow(const float* logits, size_t n, const uint32_t* mask, const uint32_t* other,
              float* masked, float* chunk_max);

// Of the logits that are finite, as distances from `max`; summed in an order of their own.
struct Spread {
  size_t count = 0;
  double sum = 0;
  double sum_of_squares = 0;
};
Spread FiniteSpread(const float* logits, size_t n, float max);

// The sum of relative * -x, in units of a Weight, where x = (key - max) / temperature.
uint64_t SumSurprise(const float* keys, const float* relative, size_t count, float max,
                     float inverse_temperature);

// -|x + mean_surprise| of each key: how typical it is, the most typical token being 0.
void StoreTypicality(const float* keys, size_t count, float max, float inverse_temperature,
                     float mean_surprise, float* typicality);

// Copies the candidates that `cut` keeps, judged by `by` (their keys, or another measure of them),
// and returns how many. The outputs, [count + kSlack], may be the inputs.
size_t KeepCut(const Candidates& candidates, const float* by, const Cut& cut, float* keys,
               float* relative, int32_t* ids);

}  // namespace hocket::row_kernels

#endif  // HOCKET_RUNTIME_SAMPLING_FILTER_KERNELS_H_
