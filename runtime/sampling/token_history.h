// How often each token occurs in the last tokens of one sequence, for the penalties: a window that
// slides as tokens come. Owned by the sequence's state, engine thread only.
#ifndef HOCKET_RUNTIME_SAMPLING_TOKEN_HISTORY_H_
#define HOCKET_RUNTIME_SAMPLING_TOKEN_HISTORY_H_

#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

#include "absl/container/flat_hash_map.h"
#include "runtime/sampling/row_request.h"

namespace hocket {

class TokenHistory {
 public:
  // Counts the last `window_tokens` tokens of prompt and generated text together; 0: all.
  TokenHistory(std::span<const TokenId> prompt, int32_t window_tokens);

  void Append(TokenId token);  // A generated one.

  // Of the tokens that occur in the window, in no particular order. Valid until Append.
  std::span<const TokenCount> counts() const { return counts_; }

 private:
  TokenCount& CountOf(TokenId token);
  void DropOldest();

  const size_t window_tokens_;
  std::vector<TokenId> tokens_;  // All of the sequence; kept only where there is a window.
  size_t prompt_tokens_;
  size_t first_ = 0;  // Of the window.
  std::vector<TokenCount> counts_;
  absl::flat_hash_map<TokenId, int32_t> place_;  // In counts_.
};

}  // namespace hocket

#endif  // HOCKET_RUNTIME_SAMPLING_TOKEN_HISTORY_H_
