#include "runtime/sampling/bad_words.h"

#include <algorithm>

namespace hocket {

BadWords::BadWords(std::span<const std::vector<TokenId>> words, std::span<const TokenId> prompt)
    : words_(words) {
  for (const std::vector<TokenId>& word : words_) longest_ = std::max(longest_, word.size());
  const size_t kept = std::min(prompt.size(), longest_);
  last_.assign(prompt.end() - static_cast<std::ptrdiff_t>(kept), prompt.end());
  FindEnds();
}

void BadWords::Append(TokenId token) {
  last_.push_back(token);
  if (last_.size() > longest_) last_.erase(last_.begin());
  FindEnds();
}

void BadWords::FindEnds() {
  ends_.clear();
  for (const std::vector<TokenId>& word : words_) {
    const size_t before = word.size() - 1;
    if (before > last_.size()) continue;
    if (std::equal(word.begin(), word.end() - 1,
                   last_.end() - static_cast<std::ptrdiff_t>(before))) {
      ends_.push_back(word.back());
    }
  }
}

}  // namespace hocket
