// Which tokens of a row may be drawn, and the draw: top-n-sigma, top-k, top-p, min-p, typical-p and
// XTC, in this order (docs/sampling.md). Functions of their arguments; scratch memory belongs to
// the caller, one per thread.
#ifndef HOCKET_RUNTIME_SAMPLING_ROW_FILTERS_H_
#define HOCKET_RUNTIME_SAMPLING_ROW_FILTERS_H_

#include <cstddef>
#include <cstdint>

#include "runtime/sampling/row_kernels.h"
#include "runtime/sampling/row_request.h"
#include "runtime/sampling/selection.h"

namespace hocket {

// Tokens that are left. The arrays are the scratch's or the row's.
struct KeptTokens {
  row_kernels::Candidates candidates;  // Without relative probabilities where nothing was filtered.
  row_kernels::Cut last;               // Candidates after this place are not kept,
  row_kernels::Cut first;              // nor are those before this one.
  uint64_t weight = 0;                 // Of all tokens kept.

  bool Keeps(size_t i) const {
    const float key = candidates.keys[i];
    const int32_t id = candidates.Id(i);
    const bool before = key > first.key || (key == first.key && id < first.id);
    return !before && last.Keeps(key, id);
  }
};

// What exponents are multiplied with; positive for any positive temperature.
float InverseTemperature(float temperature);

// Whether the row takes the most likely token and needs nothing else.
inline bool IsGreedy(const RowRequest& request) {
  return request.temperature == 0 || request.top_k == 1;
}

// Applies the filters of `request` to a row that is not greedy, whose maximum is `max` > -inf and
// whose chunk maxima are in the scratch. At least one token is kept.
KeptTokens FilterRow(const float* logits, size_t n, float max, const RowRequest& request,
                     RowScratch& scratch);

// The first token by rising id at which the running sum of weights exceeds random * weight / 2^64.
TokenId DrawToken(const KeptTokens& kept, float max, const RowRequest& request,
                  RowScratch& scratch);

}  // namespace hocket

#endif  // HOCKET_RUNTIME_SAMPLING_ROW_FILTERS_H_
