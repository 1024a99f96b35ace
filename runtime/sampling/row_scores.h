// Log-probability, rank and alternatives of a row's token, in the model's own distribution or in
// the one that the token was drawn from. Functions of their arguments; any thread.
#ifndef HOCKET_RUNTIME_SAMPLING_ROW_SCORES_H_
#define HOCKET_RUNTIME_SAMPLING_ROW_SCORES_H_

#include <cstddef>
#include <span>

#include "runtime/sampling/row_filters.h"
#include "runtime/sampling/row_request.h"
#include "runtime/sampling/selection.h"

namespace hocket {

// Scores result.token before any edit and filter: log-softmax of the row, whose largest logit is
// `max`. `scratch.chunk_max` must be that of `logits`.
void ScoreBefore(const float* logits, size_t n, float max, RowScratch& scratch,
                 std::span<TokenLogprob> top, RowResult& result);

// Scores result.token among the tokens kept. `logits` as they were filtered.
void ScoreAfter(const float* logits, size_t n, float max, const KeptTokens& kept, float temperature,
                RowScratch& scratch, std::span<TokenLogprob> top, RowResult& result);

// The row's likeliest tokens with their log-softmax, and the first `top` of them, of which the
// candidates' scores and ranks are. `scratch.chunk_max` must be that of `logits`.
void FindCandidates(const float* logits, size_t n, float max, RowScratch& scratch,
                    std::span<TokenLogprob> top, std::span<RowCandidate> candidates,
                    RowResult& result);

// Puts scores before any edit in place of those that FindCandidates gave to `candidates`.
void ScoreCandidatesBefore(const float* logits, size_t n, float max, RowScratch& scratch,
                           std::span<TokenLogprob> top, std::span<RowCandidate> candidates,
                           RowResult& result);

// The same as ScoreAfter for a greedy row, whose token has all the probability.
void ScoreCertain(std::span<TokenLogprob> top, RowResult& result);

}  // namespace hocket

#endif  // HOCKET_RUNTIME_SAMPLING_ROW_SCORES_H_
