// The whole chain of docs/sampling.md for one row, in plain double precision and with full sorts:
// edits of the logits, temperature, every filter. For tests.
#ifndef HOCKET_TESTS_RUNTIME_SAMPLING_REFERENCE_CHAIN_H_
#define HOCKET_TESTS_RUNTIME_SAMPLING_REFERENCE_CHAIN_H_

#include <vector>

#include "runtime/sampling/row_request.h"

namespace hocket {

struct ReferenceRow {
  std::vector<float> logits;          // After the edits.
  std::vector<TokenId> kept;          // In falling order of logit.
  std::vector<double> probabilities;  // Of each token of the vocabulary, after the filters.
  std::vector<double> unfiltered;     // The same before the filters.
  bool ambiguous = false;  // Rounding may move a token over a threshold: another set is right too.
};

// The logits after the edits of `request`, each operation rounded to f32.
std::vector<float> EditedLogits(std::vector<float> logits, const RowRequest& request);

// At least one logit must be left. `request` is not greedy.
ReferenceRow RunReference(const std::vector<float>& logits, const RowRequest& request);

}  // namespace hocket

#endif  // HOCKET_TESTS_RUNTIME_SAMPLING_REFERENCE_CHAIN_H_
