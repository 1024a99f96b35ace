#include "runtime/sampling/row_sampler.h"

#include <limits>

#include "runtime/sampling/logit_edits.h"
#include "runtime/sampling/row_filters.h"
#include "runtime/sampling/row_passes.h"
#include "runtime/sampling/row_scores.h"

namespace hocket {
namespace {

constexpr float kInfinity = std::numeric_limits<float>::infinity();

TokenId FirstOfMax(const EditedRow& row, size_t n, const RowScratch& scratch) {
  size_t chunk = 0;
  while (scratch.chunk_max[chunk] != row.max) ++chunk;
  size_t i = chunk * row_kernels::kChunk;
  while (i + 1 < n && row.logits[i] != row.max) ++i;
  return static_cast<TokenId>(i);
}

// Draws from the edited row, and scores the token where the score is of what it was drawn from.
void Draw(const EditedRow& row, size_t n, const RowRequest& request, RowScratch& scratch,
          std::span<TokenLogprob> top, RowResult& result) {
  const bool scored = request.scored && request.scored_after;
  if (row.max == -kInfinity) {
    result.error = RowError::kNoToken;
  } else if (IsGreedy(request)) {
    result.token = FirstOfMax(row, n, scratch);
    if (scored) ScoreCertain(top, result);
  } else {
    const KeptTokens kept = FilterRow(row.logits, n, row.max, request, scratch);
    result.token = DrawToken(kept, row.max, request, scratch);
    if (scored) {
      ScoreAfter(row.logits, n, row.max, kept, request.temperature, scratch, top, result);
    }
  }
}

// The likeliest tokens in place of one. Where no edit acts, both kinds of score are the same.
void TellCandidates(std::span<float> logits, float model_max, const RowRequest& request,
                    RowScratch& scratch, std::span<TokenLogprob> top,
                    std::span<RowCandidate> candidates, RowResult& result) {
  const size_t n = logits.size();
  const EditedRow row = ApplyEdits(logits, model_max, request, scratch);
  const bool found = row.max != -kInfinity;
  if (found) FindCandidates(row.logits, n, row.max, scratch, top, candidates, result);
  if (!found) result.error = RowError::kNoToken;
  RestoreEdits(logits, request, scratch);
  const bool edited = request.edits != nullptr || !request.masked.empty();
  if (found && edited && request.scored && !request.scored_after) {
    ScoreCandidatesBefore(logits.data(), n, model_max, scratch, top,
                          candidates.first(result.candidate_count), result);
  }
}

}  // namespace

RowResult SampleRow(std::span<float> logits, const RowRequest& request, RowScratch& scratch,
                    std::span<TokenLogprob> top, std::span<RowCandidate> candidates) {
  const size_t n = logits.size();
  RowResult result;
  const row_kernels::Scan model = row_passes::ScanRow(logits.data(), n, scratch);
  if (model.has_nan) result.error = RowError::kNan;
  if (!model.has_nan && model.max == -kInfinity) result.error = RowError::kNoToken;
  if (result.error != RowError::kNone) return result;

  top = top.first(request.top_logprobs);
  if (request.candidates > 0) {
    TellCandidates(logits, model.max, request, scratch, top, candidates.first(request.candidates),
                   result);
    return result;
  }
  if (request.given >= 0) {
    result.token = request.given;
  } else {
    const EditedRow row = ApplyEdits(logits, model.max, request, scratch);
    Draw(row, n, request, scratch, top, result);
    RestoreEdits(logits, request, scratch);
    if (result.error != RowError::kNone || request.scored_after) return result;
  }
  if (request.scored) ScoreBefore(logits.data(), n, model.max, scratch, top, result);
  return result;
}

}  // namespace hocket
