#include "runtime/sampling/dry.h"

#include <algorithm>
#include <cmath>
#include <limits>

namespace hocket {

DryPenalty::DryPenalty(DrySettings settings) : settings_(std::move(settings)) {
  for (const std::string& breaker : settings_.sequence_breakers) {
    longest_breaker_ = std::max(longest_breaker_, breaker.size());
  }
}

void DryPenalty::Append(TokenId token, std::string_view text) {
  const size_t before = tail_.size();
  tail_ += text;
  bool within = false;
  bool ends_here = false;
  for (const std::string& breaker : settings_.sequence_breakers) {
    if (breaker.empty()) continue;
    within = within || text.find(breaker) != std::string_view::npos;
    const size_t last = tail_.rfind(breaker);
    ends_here = ends_here || (last != std::string::npos && last + breaker.size() > before);
  }
  tokens_.push_back(token);
  breaks_.push_back(within);
  if (ends_here) after_breaker_ = tokens_.size();
  const size_t keep = longest_breaker_ == 0 ? 0 : longest_breaker_ - 1;
  if (tail_.size() > keep) tail_.erase(0, tail_.size() - keep);
}

std::span<const TokenBias> DryPenalty::Penalties() {
  penalties_.clear();
  const auto window = static_cast<size_t>(settings_.window_tokens);
  const size_t begin = window > 0 && tokens_.size() > window ? tokens_.size() - window : 0;
  const size_t limit = tokens_.size() - std::max(begin, after_breaker_);
  const auto allowed = static_cast<size_t>(settings_.allowed_length);
  if (settings_.multiplier == 0 || limit < allowed) return penalties_;
  FindRepeats(begin, limit);
  // By token, the longest repetition first.
  std::sort(repeats_.begin(), repeats_.end(), [](const auto& a, const auto& b) {
    return a.first != b.first ? a.first < b.first : a.second > b.second;
  });
  for (const auto& [token, length] : repeats_) {
    if (!penalties_.empty() && penalties_.back().token == token) continue;
    const double penalty = settings_.multiplier * std::pow(static_cast<double>(settings_.base),
                                                           static_cast<double>(length - allowed));
    const double largest = std::numeric_limits<float>::max();
    penalties_.push_back({token, static_cast<float>(std::min(penalty, largest))});
  }
  return penalties_;
}

// For each place of the window: how long the text before it agrees with the end of the sequence, at
// most `limit`. The Z function of the window read backwards, linear in its length.
void DryPenalty::FindRepeats(size_t begin, size_t limit) {
  repeats_.clear();
  const size_t count = tokens_.size() - begin;
  const auto back = [&](size_t i) { return tokens_[tokens_.size() - 1 - i]; };
  matches_.assign(count, 0);
  size_t left = 0;
  size_t right = 0;  // [left, right) agrees with the beginning, and reaches furthest.
  for (size_t i = 1; i < count; ++i) {
    size_t match = i < right ? std::min(right - i, matches_[i - left]) : 0;
    while (i + match < count && back(match) == back(i + match)) ++match;
    matches_[i] = match;
    if (i + match > right) {
      left = i;
      right = i + match;
    }
    const size_t length = std::min(match, limit);
    if (length < static_cast<size_t>(settings_.allowed_length)) continue;
    const size_t next = tokens_.size() - i;  // The token that followed then.
    if (breaks_[next] == 0) repeats_.emplace_back(tokens_[next], length);
  }
}

}  // namespace hocket
