// Turns one sequence's tokens into text as they come, never emitting half a UTF-8 character: the
// concatenation of all it returns equals the tokenizer's decoding of the whole run. One per
// sequence; not thread-safe.
#ifndef HOCKET_RUNTIME_TEXT_DETOKENIZER_H_
#define HOCKET_RUNTIME_TEXT_DETOKENIZER_H_

#include <span>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "runtime/text/tokenizer.h"

namespace hocket {

class Detokenizer {
 public:
  // `prompt` gives the context that decides whether the first token starts with a space; none of it
  // is emitted. `tokenizer` must outlive this.
  Detokenizer(const Tokenizer* tokenizer, std::span<const TokenId> prompt, bool skip_special_tokens);

  // The text that `token` completes; empty while a character is still incomplete.
  absl::StatusOr<std::string> Append(TokenId token);

  // What is still held back, incomplete bytes as U+FFFD. Nothing may be appended after it.
  absl::StatusOr<std::string> Finish();

 private:
  const Tokenizer* tokenizer_;
  bool skip_special_tokens_;
  std::vector<TokenId> window_;  // Tokens since the last safe cut.
  size_t context_tokens_ = 0;    // Of the window's, those whose text has been emitted.
};

}  // namespace hocket

#endif  // HOCKET_RUNTIME_TEXT_DETOKENIZER_H_
