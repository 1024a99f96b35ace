#include "tests/runtime/fake_decoder.h"

#include <algorithm>
#include <random>
#include <utility>

namespace hocket {
namespace {

constexpr int32_t kBlockTokens = 16;

uint64_t HashOf(std::span<const TokenId> tokens) {
  uint64_t hash = 1469598103934665603u;
  for (TokenId token : tokens) hash = (hash ^ static_cast<uint32_t>(token)) * 1099511628211u;
  return hash;
}

}  // namespace

FakeDecoder::FakeDecoder(int32_t vocabulary_size, LogitsOf logits_of)
    : logits_of_(std::move(logits_of)) {
  info_.vocabulary_size = vocabulary_size;
  info_.hidden_size = 8;
  info_.max_context_tokens = 256;
  info_.threads = 2;
  info_.end_of_text_tokens = {1};
}

absl::StatusOr<std::span<const float>> FakeDecoder::Forward(const StepPlan& plan,
                                                            std::span<const int32_t> outputs) {
  if (!next_status_.ok()) return std::exchange(next_status_, absl::OkStatus());
  if (!std::is_sorted(outputs.begin(), outputs.end())) return absl::InternalError("not ascending");
  seen_.clear();
  hidden_.clear();
  for (const PlanRow& row : plan.rows) {
    const std::span<const BlockId> table = plan.RowBlocks(row);
    for (int32_t k = 0; k < row.token_count; ++k) {
      const int32_t position = row.first_position + k;
      std::vector<TokenId>& block = blocks_[table[position / kBlockTokens]];
      block.resize(kBlockTokens);
      block[position % kBlockTokens] = plan.RowTokens(row)[k];
      if (!std::binary_search(outputs.begin(), outputs.end(), row.token_begin + k)) continue;
      std::vector<TokenId> seen;
      for (int32_t p = 0; p <= position; ++p) {
        seen.push_back(blocks_[table[p / kBlockTokens]][p % kBlockTokens]);
      }
      std::mt19937_64 random(HashOf(seen));
      std::normal_distribution<float> normal;
      std::vector<float> hidden(info_.hidden_size);
      for (float& value : hidden) value = normal(random);
      hidden_.insert(hidden_.end(), hidden.begin(), hidden.end());
      seen_[hidden] = std::move(seen);
    }
  }
  return std::span<const float>(hidden_);
}

absl::Status FakeDecoder::Logits(std::span<const float> hidden, int32_t rows,
                                 std::span<float> logits) {
  largest_logits_call_ = std::max(largest_logits_call_, rows);
  std::fill(logits.begin(), logits.end(), 0.0f);
  for (int32_t row = 0; row < rows; ++row) {
    const auto state = hidden.subspan(row * info_.hidden_size, info_.hidden_size);
    logits_of_(
        seen_.at({state.begin(), state.end()}),
        logits.subspan(static_cast<size_t>(row) * info_.vocabulary_size, info_.vocabulary_size));
  }
  return absl::OkStatus();
}

void RandomLogitsOf(std::span<const TokenId> tokens, std::span<float> logits) {
  std::mt19937_64 random(HashOf(tokens));
  std::normal_distribution<float> normal(0, 2);
  for (float& logit : logits) logit = normal(random);
}

FakeDecoder::LogitsOf Script(size_t prompt_tokens, std::vector<TokenId> script) {
  return [=](std::span<const TokenId> tokens, std::span<float> logits) {
    if (tokens.size() < prompt_tokens) return;
    const size_t index = tokens.size() - prompt_tokens;
    if (index < script.size()) logits[script[index]] = 50;
  };
}

}  // namespace hocket
