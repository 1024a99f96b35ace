#include "runtime/prompt_pooling.h"

#include <cmath>

namespace hocket {

PromptPooling::PromptPooling(EmbeddingPooling pooling, bool normalize, int32_t prompt_tokens)
    : pooling_(pooling),
      normalize_(normalize),
      prompt_tokens_(prompt_tokens),
      next_position_(pooling == EmbeddingPooling::kLastToken ? prompt_tokens - 1 : 0) {}

bool PromptPooling::Wants(int32_t position) const {
  return pooling_ != EmbeddingPooling::kNone && position >= next_position_ &&
         position < prompt_tokens_;
}

void PromptPooling::Add(std::span<const float> hidden) {
  sum_.resize(hidden.size(), 0.0);
  for (size_t i = 0; i < hidden.size(); ++i) sum_[i] += hidden[i];
  ++next_position_;
}

bool PromptPooling::Ready() const {
  return pooling_ != EmbeddingPooling::kNone && !taken_ && next_position_ == prompt_tokens_;
}

absl::StatusOr<std::vector<float>> PromptPooling::Take() {
  taken_ = true;
  double scale = pooling_ == EmbeddingPooling::kMean ? 1.0 / prompt_tokens_ : 1.0;
  double squares = 0;
  for (double value : sum_) squares += value * scale * (value * scale);
  if (!std::isfinite(squares)) return absl::InternalError("the embedding is not finite");
  if (normalize_ && squares > 0) scale /= std::sqrt(squares);
  std::vector<float> embedding(sum_.size());
  for (size_t i = 0; i < sum_.size(); ++i) embedding[i] = static_cast<float>(sum_[i] * scale);
  return embedding;
}

}  // namespace hocket
