// The sampling stage: the logits of all rows of a step to one token, and scores where asked, per
// row (docs/sampling.md says how). Owned by the executor, called by the engine thread; it spreads
// the rows over an OpenMP team. No memory is allocated while it runs once its vectors have grown.
#ifndef HOCKET_RUNTIME_SAMPLING_SAMPLING_STAGE_H_
#define HOCKET_RUNTIME_SAMPLING_SAMPLING_STAGE_H_

#include <cstdint>
#include <span>
#include <vector>

#include "runtime/sampling/row_sampler.h"
#include "scheduler/step.h"

namespace hocket {

// The rows' settings, a structure of arrays. Cleared and filled for each call.
class SamplingRows {
 public:
  struct Row {
    float temperature = 1;  // 0 is greedy.
    int32_t top_k = 0;      // 0 keeps all.
    float top_p = 1;
    uint64_t seed = 0;
    int32_t choice_index = 0;
    int32_t position = 0;                  // In its sequence, of the token to be drawn.
    std::span<const TokenId> masked = {};  // Copied. Cannot be drawn.
    TokenId given = -1;                    // Not negative: this token is scored and none is drawn.
    bool scored = false;
    int32_t top_logprobs = 0;
  };

  void Clear();
  void Add(const Row& row);
  int32_t size() const { return static_cast<int32_t>(temperature_.size()); }

 private:
  friend class SamplingStage;
  std::vector<float> temperature_, top_p_;
  std::vector<int32_t> top_k_, choice_index_, position_, top_logprobs_;
  std::vector<uint64_t> seed_;
  std::vector<TokenId> given_;
  std::vector<uint8_t> scored_;
  std::vector<TokenId> masked_;     // All rows', one after another.
  std::vector<size_t> masked_end_;  // [rows]
  std::vector<size_t> top_end_;     // [rows]
};

class SamplingStage {
 public:
  // Rows of at most row_kernels::kMaxTokens logits; `threads` >= 1.
  SamplingStage(int32_t vocabulary_size, int32_t threads);

  // `logits`: [rows.size(), vocabulary_size]; unchanged when this returns. Rows are shared out
  // among `threads` of the threads, or all of them when it is 0; the results do not depend on it.
  void Run(std::span<float> logits, const SamplingRows& rows, int32_t threads = 0);

  // Of the last run.
  const RowResult& result(int32_t row) const { return results_[row]; }
  std::span<const TokenLogprob> top(int32_t row) const {
    return std::span(top_).subspan(top_begin_[row], results_[row].top_count);
  }

 private:
  void RunRow(std::span<float> logits, const SamplingRows& rows, int32_t row, RowScratch& scratch);

  size_t vocabulary_size_;
  int32_t threads_;
  std::vector<RowScratch> scratch_;  // [threads]
  std::vector<RowResult> results_;
  std::vector<float> masked_logits_;
  std::vector<TokenLogprob> top_;
  std::vector<size_t> top_begin_;
};

}  // namespace hocket

#endif  // HOCKET_RUNTIME_SAMPLING_SAMPLING_STAGE_H_
