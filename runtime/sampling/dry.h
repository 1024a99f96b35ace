// DRY, "don't repeat yourself" (p-e-w, as in llama.cpp): a token that would continue a repetition
// is penalized the more, the longer the repetition is. One sequence's; engine thread only.
#ifndef HOCKET_RUNTIME_SAMPLING_DRY_H_
#define HOCKET_RUNTIME_SAMPLING_DRY_H_

#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "runtime/sampling/row_request.h"

namespace hocket {

struct DrySettings {
  float multiplier = 0.8f;
  float base = 1.75f;
  int32_t allowed_length = 2;  // Tokens that may repeat without penalty.
  int32_t window_tokens = 0;   // How far back repetitions are looked for; 0: all the way.
  std::vector<std::string> sequence_breakers = {"\n", ":", "\"", "*"};  // No repetition spans one.
  bool operator==(const DrySettings&) const = default;
};

class DryPenalty {
 public:
  explicit DryPenalty(DrySettings settings);

  // A token of the prompt or of the generated text, with its text.
  void Append(TokenId token, std::string_view text);

  // What to subtract from which logits for the next token: multiplier * base^(length -
  // allowed_length), of the longest end of the sequence that this token followed before. A token
  // that holds a breaker is spared. Valid until the next call of either.
  std::span<const TokenBias> Penalties();

 private:
  void FindRepeats(size_t begin, size_t limit);

  const DrySettings settings_;
  size_t longest_breaker_ = 0;  // bytes
  std::vector<TokenId> tokens_;
  std::vector<uint8_t> breaks_;  // [tokens], whether the token's own text holds a breaker.
  size_t after_breaker_ = 0;     // The first token after the last breaker.
  std::string tail_;             // The end of the text, in which a breaker may have begun.

  std::vector<size_t> matches_;  // Of FindRepeats; kept for its memory.
  std::vector<std::pair<TokenId, size_t>> repeats_;
  std::vector<TokenBias> penalties_;
};

}  // namespace hocket

#endif  // HOCKET_RUNTIME_SAMPLING_DRY_H_
