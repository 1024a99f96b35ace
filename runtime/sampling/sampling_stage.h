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
    float min_p = 0;            // 0 keeps all.
    float typical_p = 1;        // 1 keeps all.
    float top_n_sigma = 0;      // 0 keeps all.
    float xtc_probability = 0;  // That XTC acts on this token; 0 never.
    float xtc_threshold = 0;
    uint64_t seed = 0;
    int32_t choice_index = 0;
    int32_t position = 0;  // In its sequence, of the token to be drawn.
    // What these point at must live until the stage has run.
    std::span<const TokenId> masked = {};  // Cannot be drawn.
    const LogitEdits* edits = nullptr;
    int32_t logits_row = -1;  // Its logits among those given; negative: at its own place.
    TokenId given = -1;       // Not negative: this token is scored and none is drawn.
    bool scored = false;
    bool scored_after = false;  // By the distribution drawn from, not by the model's.
    int32_t top_logprobs = 0;
    int32_t candidates = 0;  // Not 0: so many likely tokens are told and none is drawn.
  };

  void Clear();
  void Add(const Row& row);
  int32_t size() const { return static_cast<int32_t>(temperature_.size()); }

 private:
  friend class SamplingStage;
  std::vector<float> temperature_, top_p_, min_p_, typical_p_, top_n_sigma_;
  std::vector<float> xtc_probability_, xtc_threshold_;
  std::vector<int32_t> logits_row_, top_k_, choice_index_, position_, top_logprobs_, candidates_;
  std::vector<uint64_t> seed_;
  std::vector<TokenId> given_;
  std::vector<uint8_t> scored_, scored_after_;
  std::vector<std::span<const TokenId>> masked_;
  std::vector<const LogitEdits*> edits_;
  std::vector<size_t> top_end_, candidate_end_;  // [rows]
};

class SamplingStage {
 public:
  // Rows of at most row_kernels::kMaxTokens logits; `threads` >= 1.
  SamplingStage(int32_t vocabulary_size, int32_t threads);

  // `logits`: [rows.size() or more, vocabulary_size]; unchanged when this returns. Rows are shared
  // out among `threads` of the threads, or all of them when it is 0; the results do not depend on
  // it.
  void Run(std::span<float> logits, const SamplingRows& rows, int32_t threads = 0);

  // How the row's token was come by in the last run, of the same rows and logits.
  Explanation Explain(std::span<float> logits, const SamplingRows& rows, int32_t row,
                      int32_t candidates);

  // Of the last run.
  const RowResult& result(int32_t row) const { return results_[row]; }
  std::span<const TokenLogprob> top(int32_t row) const {
    return std::span(top_).subspan(top_begin_[row], results_[row].top_count);
  }
  std::span<const RowCandidate> candidates(int32_t row) const {
    return std::span(candidates_).subspan(candidate_begin_[row], results_[row].candidate_count);
  }

 private:
  static RowRequest RequestOf(const SamplingRows& rows, int32_t row);
  std::span<float> LogitsOf(std::span<float> logits, const SamplingRows& rows, int32_t row) const;
  void RunRow(std::span<float> logits, const SamplingRows& rows, int32_t row, RowScratch& scratch);
  // The row's threshold where XTC acts on its token, else 0.
  static float XtcThreshold(const SamplingRows& rows, int32_t row);

  size_t vocabulary_size_;
  int32_t threads_;
  std::vector<RowScratch> scratch_;  // [threads]
  std::vector<RowResult> results_;
  std::vector<TokenLogprob> top_;
  std::vector<RowCandidate> candidates_;
  std::vector<size_t> top_begin_, candidate_begin_;
};

}  // namespace hocket

#endif  // HOCKET_RUNTIME_SAMPLING_SAMPLING_STAGE_H_
