#include "runtime/sampling/sampling_stage.h"

#include <omp.h>

#include <algorithm>

#include "runtime/sampling/philox.h"

namespace hocket {

void SamplingRows::Clear() {
  temperature_.clear();
  top_k_.clear();
  top_p_.clear();
  seed_.clear();
  choice_index_.clear();
  position_.clear();
  given_.clear();
  scored_.clear();
  top_logprobs_.clear();
  masked_.clear();
  masked_end_.clear();
  top_end_.clear();
}

void SamplingRows::Add(const Row& row) {
  const int32_t alternatives = row.scored ? row.top_logprobs : 0;
  const size_t top_begin = top_end_.empty() ? 0 : top_end_.back();
  temperature_.push_back(row.temperature);
  top_k_.push_back(row.top_k);
  top_p_.push_back(row.top_p);
  seed_.push_back(row.seed);
  choice_index_.push_back(row.choice_index);
  position_.push_back(row.position);
  given_.push_back(row.given);
  scored_.push_back(row.scored);
  top_logprobs_.push_back(alternatives);
  masked_.insert(masked_.end(), row.masked.begin(), row.masked.end());
  masked_end_.push_back(masked_.size());
  top_end_.push_back(top_begin + alternatives);
}

SamplingStage::SamplingStage(int32_t vocabulary_size, int32_t threads)
    : vocabulary_size_(vocabulary_size), threads_(threads) {
  scratch_.reserve(threads);
  for (int32_t i = 0; i < threads; ++i) scratch_.emplace_back(vocabulary_size_);
}

void SamplingStage::Run(std::span<float> logits, const SamplingRows& rows, int32_t threads) {
  threads = threads == 0 ? threads_ : std::min(threads, threads_);
  const int32_t count = rows.size();
  results_.assign(count, RowResult());
  masked_logits_.resize(rows.masked_.size());
  top_.resize(count == 0 ? 0 : rows.top_end_.back());
  top_begin_.resize(count);
  if (count == 1 || threads == 1) {
    for (int32_t row = 0; row < count; ++row) RunRow(logits, rows, row, scratch_[0]);
    return;
  }
#pragma omp parallel for schedule(dynamic, 1) num_threads(threads)
  for (int32_t row = 0; row < count; ++row) {
    RunRow(logits, rows, row, scratch_[omp_get_thread_num()]);
  }
}

void SamplingStage::RunRow(std::span<float> logits, const SamplingRows& rows, int32_t row,
                           RowScratch& scratch) {
  const size_t masked_begin = row == 0 ? 0 : rows.masked_end_[row - 1];
  const size_t masked_count = rows.masked_end_[row] - masked_begin;
  top_begin_[row] = rows.top_end_[row] - rows.top_logprobs_[row];
  RowRequest request;
  request.temperature = rows.temperature_[row];
  request.top_k = rows.top_k_[row];
  request.top_p = rows.top_p_[row];
  request.random = RandomBits(rows.seed_[row], rows.choice_index_[row], rows.position_[row]);
  request.masked = std::span(rows.masked_).subspan(masked_begin, masked_count);
  request.given = rows.given_[row];
  request.scored = rows.scored_[row] != 0;
  request.top_logprobs = rows.top_logprobs_[row];
  results_[row] = SampleRow(logits.subspan(row * vocabulary_size_, vocabulary_size_), request,
                            scratch, std::span(masked_logits_).subspan(masked_begin, masked_count),
                            std::span(top_).subspan(top_begin_[row], request.top_logprobs));
}

}  // namespace hocket
