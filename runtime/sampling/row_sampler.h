// One row of logits to one token and its scores. Rows share nothing, so a row's result depends on
// its own logits and settings alone, bit for bit. Any thread, each with its own scratch.
#ifndef HOCKET_RUNTIME_SAMPLING_ROW_SAMPLER_H_
#define HOCKET_RUNTIME_SAMPLING_ROW_SAMPLER_H_

#include <span>

#include "runtime/sampling/row_request.h"
#include "runtime/sampling/selection.h"

namespace hocket {

// `logits` are changed while this runs and are as before when it returns. `top` has room for
// `top_logprobs`, `candidates` for those of the request.
RowResult SampleRow(std::span<float> logits, const RowRequest& request, RowScratch& scratch,
                    std::span<TokenLogprob> top, std::span<RowCandidate> candidates = {});

}  // namespace hocket

#endif  // HOCKET_RUNTIME_SAMPLING_ROW_SAMPLER_H_
