// One row of logits to one token and its scores. Rows share nothing, so a row's result depends on
// its own logits and settings alone, bit for bit. Any thread, each with its own scratch.
#ifndef HOCKET_RUNTIME_SAMPLING_ROW_SAMPLER_H_
#define HOCKET_RUNTIME_SAMPLING_ROW_SAMPLER_H_

#include <cstdint>
#include <span>

#include "runtime/sampling/selection.h"
#include "scheduler/step.h"

namespace hocket {

enum class RowError : uint8_t {
  kNone,
  kNan,      // Some logit is not a number.
  kNoToken,  // No logit is above -inf, masks included.
};

struct RowRequest {
  float temperature = 1;  // 0 is greedy.
  int32_t top_k = 0;      // 0 keeps all.
  float top_p = 1;
  uint64_t random = 0;                   // 64 uniform bits; not read by a greedy row.
  std::span<const TokenId> masked = {};  // Cannot be drawn; all in the vocabulary.
  TokenId given = -1;                    // Not negative: this token is scored and none is drawn.
  bool scored = false;
  int32_t top_logprobs = 0;  // Alternatives to report with the score.
};

struct RowResult {
  RowError error = RowError::kNone;
  TokenId token = 0;
  float logprob = 0;      // Where scored: log-softmax of the row as the model gave it,
  int32_t rank = 0;       // the token's place in it, from 1,
  int32_t top_count = 0;  // and the entries of `top` written.
};

// `logits` are changed while this runs and are as before when it returns. `masked_logits` has room
// for as many values as `masked`, `top` for `top_logprobs`.
RowResult SampleRow(std::span<float> logits, const RowRequest& request, RowScratch& scratch,
                    std::span<float> masked_logits, std::span<TokenLogprob> top);

}  // namespace hocket

#endif  // HOCKET_RUNTIME_SAMPLING_ROW_SAMPLER_H_
