#include "runtime/sampling/sampling_stage.h"

#include <omp.h>

#include <algorithm>

#include "runtime/sampling/philox.h"
#include "runtime/sampling/row_explanation.h"

namespace hocket {

void SamplingRows::Clear() {
  temperature_.clear();
  logits_row_.clear();
  top_k_.clear();
  top_p_.clear();
  min_p_.clear();
  typical_p_.clear();
  top_n_sigma_.clear();
  xtc_probability_.clear();
  xtc_threshold_.clear();
  seed_.clear();
  choice_index_.clear();
  position_.clear();
  given_.clear();
  scored_.clear();
  top_logprobs_.clear();
  candidates_.clear();
  scored_after_.clear();
  masked_.clear();
  edits_.clear();
  top_end_.clear();
  candidate_end_.clear();
}

void SamplingRows::Add(const Row& row) {
  const int32_t alternatives = row.scored ? row.top_logprobs : 0;
  const size_t top_begin = top_end_.empty() ? 0 : top_end_.back();
  const size_t candidate_begin = candidate_end_.empty() ? 0 : candidate_end_.back();
  logits_row_.push_back(row.logits_row < 0 ? size() : row.logits_row);
  temperature_.push_back(row.temperature);
  top_k_.push_back(row.top_k);
  top_p_.push_back(row.top_p);
  min_p_.push_back(row.min_p);
  typical_p_.push_back(row.typical_p);
  top_n_sigma_.push_back(row.top_n_sigma);
  xtc_probability_.push_back(row.xtc_probability);
  xtc_threshold_.push_back(row.xtc_threshold);
  seed_.push_back(row.seed);
  choice_index_.push_back(row.choice_index);
  position_.push_back(row.position);
  given_.push_back(row.given);
  scored_.push_back(row.scored);
  top_logprobs_.push_back(alternatives);
  candidates_.push_back(row.candidates);
  scored_after_.push_back(row.scored_after);
  masked_.push_back(row.masked);
  edits_.push_back(row.edits);
  top_end_.push_back(top_begin + alternatives);
  candidate_end_.push_back(candidate_begin + row.candidates);
}

SamplingStage::SamplingStage(int32_t vocabulary_size, int32_t threads)
    : vocabulary_size_(vocabulary_size), threads_(threads) {
  scratch_.reserve(threads);
  for (int32_t i = 0; i < threads; ++i) {
    scratch_.emplace_back(vocabulary_size_, i == 0 ? threads : 1);
  }
}

void SamplingStage::Run(std::span<float> logits, const SamplingRows& rows, int32_t threads) {
  threads = threads == 0 ? threads_ : std::min(threads, threads_);
  const int32_t count = rows.size();
  results_.assign(count, RowResult());
  top_.resize(count == 0 ? 0 : rows.top_end_.back());
  top_begin_.resize(count);
  candidates_.resize(count == 0 ? 0 : rows.candidate_end_.back());
  candidate_begin_.resize(count);
  // Alone, a row has all the threads.
  scratch_[0].threads = count == 1 ? threads : 1;
  if (count == 1 || threads == 1) {
    for (int32_t row = 0; row < count; ++row) RunRow(logits, rows, row, scratch_[0]);
    return;
  }
#pragma omp parallel for schedule(dynamic, 1) num_threads(threads)
  for (int32_t row = 0; row < count; ++row) {
    RunRow(logits, rows, row, scratch_[omp_get_thread_num()]);
  }
}

RowRequest SamplingStage::RequestOf(const SamplingRows& rows, int32_t row) {
  RowRequest request;
  request.temperature = rows.temperature_[row];
  request.top_k = rows.top_k_[row];
  request.top_p = rows.top_p_[row];
  request.min_p = rows.min_p_[row];
  request.typical_p = rows.typical_p_[row];
  request.top_n_sigma = rows.top_n_sigma_[row];
  request.xtc_threshold = XtcThreshold(rows, row);
  request.random = RandomBits(rows.seed_[row], rows.choice_index_[row], rows.position_[row]);
  request.masked = rows.masked_[row];
  request.edits = rows.edits_[row];
  request.given = rows.given_[row];
  request.scored = rows.scored_[row] != 0;
  request.scored_after = rows.scored_after_[row] != 0;
  request.top_logprobs = rows.top_logprobs_[row];
  request.candidates = rows.candidates_[row];
  return request;
}

std::span<float> SamplingStage::LogitsOf(std::span<float> logits, const SamplingRows& rows,
                                         int32_t row) const {
  return logits.subspan(rows.logits_row_[row] * vocabulary_size_, vocabulary_size_);
}

void SamplingStage::RunRow(std::span<float> logits, const SamplingRows& rows, int32_t row,
                           RowScratch& scratch) {
  top_begin_[row] = rows.top_end_[row] - rows.top_logprobs_[row];
  candidate_begin_[row] = rows.candidate_end_[row] - rows.candidates_[row];
  const RowRequest request = RequestOf(rows, row);
  results_[row] =
      SampleRow(LogitsOf(logits, rows, row), request, scratch,
                std::span(top_).subspan(top_begin_[row], request.top_logprobs),
                std::span(candidates_).subspan(candidate_begin_[row], request.candidates));
}

Explanation SamplingStage::Explain(std::span<float> logits, const SamplingRows& rows, int32_t row,
                                   int32_t candidates) {
  return ExplainRow(LogitsOf(logits, rows, row), RequestOf(rows, row), results_[row].token,
                    candidates, scratch_[0]);
}

float SamplingStage::XtcThreshold(const SamplingRows& rows, int32_t row) {
  const float probability = rows.xtc_probability_[row];
  if (probability <= 0) return 0;
  const uint64_t bits = RandomBits(rows.seed_[row], rows.choice_index_[row], rows.position_[row],
                                   RandomPurpose::kXtc);
  const bool acts = static_cast<double>(bits >> 11) * 0x1p-53 < static_cast<double>(probability);
  return acts ? rows.xtc_threshold_[row] : 0;
}

}  // namespace hocket
