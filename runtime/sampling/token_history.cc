#include "runtime/sampling/token_history.h"

namespace hocket {

TokenHistory::TokenHistory(std::span<const TokenId> prompt, int32_t window_tokens)
    : window_tokens_(static_cast<size_t>(window_tokens)), prompt_tokens_(prompt.size()) {
  const bool windowed = window_tokens_ > 0;
  if (windowed) {
    tokens_.assign(prompt.begin(), prompt.end());
    if (prompt.size() > window_tokens_) first_ = prompt.size() - window_tokens_;
  }
  for (const TokenId token : prompt.subspan(first_)) ++CountOf(token).seen;
}

void TokenHistory::Append(TokenId token) {
  TokenCount& count = CountOf(token);
  ++count.seen;
  ++count.generated;
  if (window_tokens_ == 0) return;
  tokens_.push_back(token);
  if (tokens_.size() - first_ > window_tokens_) DropOldest();
}

TokenCount& TokenHistory::CountOf(TokenId token) {
  const auto [found, added] = place_.try_emplace(token, static_cast<int32_t>(counts_.size()));
  if (added) counts_.push_back({token, 0, 0});
  return counts_[found->second];
}

void TokenHistory::DropOldest() {
  const TokenId token = tokens_[first_];
  const auto found = place_.find(token);
  TokenCount& count = counts_[found->second];
  if (first_++ >= prompt_tokens_) --count.generated;
  if (--count.seen > 0) return;
  count = counts_.back();
  place_[count.token] = found->second;
  counts_.pop_back();
  place_.erase(token);
}

}  // namespace hocket
