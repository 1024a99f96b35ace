// Runs of tokens that must never be completed: which token would complete one now. One sequence's;
// engine thread only.
#ifndef HOCKET_RUNTIME_SAMPLING_BAD_WORDS_H_
#define HOCKET_RUNTIME_SAMPLING_BAD_WORDS_H_

#include <cstddef>
#include <span>
#include <vector>

#include "scheduler/step.h"

namespace hocket {

class BadWords {
 public:
  // `words`, none of them empty, must outlive this.
  BadWords(std::span<const std::vector<TokenId>> words, std::span<const TokenId> prompt);

  void Append(TokenId token);

  // The tokens that may not come next. Valid until Append.
  std::span<const TokenId> Ends() const { return ends_; }

 private:
  void FindEnds();

  std::span<const std::vector<TokenId>> words_;
  size_t longest_ = 0;         // Tokens of the longest word.
  std::vector<TokenId> last_;  // The last tokens, as many as matter.
  std::vector<TokenId> ends_;
};

}  // namespace hocket

#endif  // HOCKET_RUNTIME_SAMPLING_BAD_WORDS_H_
