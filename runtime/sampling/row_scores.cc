#include "runtime/sampling/row_scores.h"

#include <algorithm>
#include <cmath>
#include <limits>

#include "runtime/sampling/row_passes.h"

namespace hocket {
namespace {

// Log-softmax of a row with this maximum and sum of weights. Of infinite logits only +inf is
// likely.
class LogSoftmax {
 public:
  LogSoftmax(float max, uint64_t sum, double temperature = 1)
      : max_(max),
        temperature_(temperature),
        log_sum_(std::log(static_cast<double>(sum) * 0x1p-40)) {}
  float operator()(float logit) const {
    const double below = logit == max_ ? 0.0 : (static_cast<double>(logit) - max_) / temperature_;
    return static_cast<float>(below - log_sum_);
  }

 private:
  float max_;
  double temperature_;
  double log_sum_;
};

// 1 for the first token of the row's order.
int32_t RankOf(const float* logits, size_t n, TokenId token) {
  const float own = logits[token];
  const size_t before = row_kernels::CountAtLeast(logits, token, own) +
                        row_kernels::CountAbove(logits + token, n - token, own);
  return static_cast<int32_t>(before) + 1;
}

// Among all tokens of the row.
void Score(const float* logits, size_t n, const LogSoftmax& log_softmax, RowScratch& scratch,
           std::span<TokenLogprob> top, RowResult& result) {
  result.logprob = log_softmax(logits[result.token]);
  result.rank = RankOf(logits, n, result.token);
  for (const uint64_t packed : SortedTop(logits, n, top.size(), scratch)) {
    const TokenId id = PackedId(packed);
    top[result.top_count++] = {id, log_softmax(logits[id])};
  }
}

}  // namespace

void ScoreBefore(const float* logits, size_t n, float max, RowScratch& scratch,
                 std::span<TokenLogprob> top, RowResult& result) {
  const uint64_t sum = row_passes::SumWeights(logits, n, max, 1.0f, scratch);
  Score(logits, n, LogSoftmax(max, sum), scratch, top, result);
}

void ScoreAfter(const float* logits, size_t n, float max, const KeptTokens& kept, float temperature,
                RowScratch& scratch, std::span<TokenLogprob> top, RowResult& result) {
  const LogSoftmax log_softmax(max, kept.weight, temperature);
  if (kept.candidates.relative == nullptr) {
    Score(logits, n, log_softmax, scratch, top, result);
    return;
  }
  result.logprob = log_softmax(logits[result.token]);
  const uint64_t chosen = PackOrder(logits[result.token], result.token);
  size_t before = 0;
  size_t count = 0;
  for (size_t i = 0; i < kept.candidates.count; ++i) {
    if (!kept.Keeps(i)) continue;
    scratch.order[count] = PackOrder(kept.candidates.keys[i], kept.candidates.Id(i));
    before += scratch.order[count++] < chosen;
  }
  result.rank = static_cast<int32_t>(before) + 1;
  const size_t reported = std::min(top.size(), count);
  const auto begin = scratch.order.begin();
  std::partial_sort(begin, begin + reported, begin + count);
  for (size_t i = 0; i < reported; ++i) {
    const TokenId id = PackedId(scratch.order[i]);
    top[result.top_count++] = {id, log_softmax(logits[id])};
  }
}

void FindCandidates(const float* logits, size_t n, float max, RowScratch& scratch,
                    std::span<TokenLogprob> top, std::span<RowCandidate> candidates,
                    RowResult& result) {
  const uint64_t sum = row_passes::SumWeights(logits, n, max, 1.0f, scratch);
  const LogSoftmax log_softmax(max, sum);
  const size_t wanted = std::max(candidates.size(), top.size());
  for (const uint64_t packed : SortedTop(logits, n, wanted, scratch)) {
    const TokenId id = PackedId(packed);
    if (logits[id] == -std::numeric_limits<float>::infinity()) break;
    const float logprob = log_softmax(logits[id]);
    const auto count = static_cast<size_t>(result.candidate_count);
    if (static_cast<size_t>(result.top_count) < top.size()) top[result.top_count++] = {id, logprob};
    if (count == candidates.size()) continue;
    candidates[count] = {id, logprob, logprob, ++result.candidate_count};
  }
}

void ScoreCandidatesBefore(const float* logits, size_t n, float max, RowScratch& scratch,
                           std::span<TokenLogprob> top, std::span<RowCandidate> candidates,
                           RowResult& result) {
  const uint64_t sum = row_passes::SumWeights(logits, n, max, 1.0f, scratch);
  const LogSoftmax log_softmax(max, sum);
  for (RowCandidate& candidate : candidates) {
    candidate.score = log_softmax(logits[candidate.token]);
    candidate.rank = RankOf(logits, n, candidate.token);
  }
  result.top_count = 0;
  for (const uint64_t packed : SortedTop(logits, n, top.size(), scratch)) {
    const TokenId id = PackedId(packed);
    top[result.top_count++] = {id, log_softmax(logits[id])};
  }
}

void ScoreCertain(std::span<TokenLogprob> top, RowResult& result) {
  result.logprob = 0;
  result.rank = 1;
  if (!top.empty()) top[result.top_count++] = {result.token, 0.0f};
}

}  // namespace hocket
