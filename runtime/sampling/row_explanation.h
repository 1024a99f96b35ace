// How each part of the chain changes the probabilities of a row's likeliest tokens, for people who
// want to see it. Runs the chain once per part: not for serving. Functions of their arguments; any
// thread.
#ifndef HOCKET_RUNTIME_SAMPLING_ROW_EXPLANATION_H_
#define HOCKET_RUNTIME_SAMPLING_ROW_EXPLANATION_H_

#include <cstdint>
#include <span>

#include "runtime/sampling/row_request.h"
#include "runtime/sampling/selection.h"
#include "scheduler/step.h"

namespace hocket {

// The `count` likeliest tokens of the row, and `drawn` if it is none of them, through every part of
// the chain that the request uses. The row must be one that SampleRow could draw from; `logits` are
// as before when this returns.
Explanation ExplainRow(std::span<float> logits, const RowRequest& request, TokenId drawn,
                       int32_t count, RowScratch& scratch);

}  // namespace hocket

#endif  // HOCKET_RUNTIME_SAMPLING_ROW_EXPLANATION_H_
