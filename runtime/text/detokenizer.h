// Turns one sequence's tokens into text as they come, never emitting half a UTF-8 character. All it
// returns, put together, is exactly Decode(prompt + tokens) without the characters at its beginning
// that Decode(prompt) has too. (A prompt that ends within a character gives it to the first
// tokens.) A token costs a decode of at most 24 tokens, and at most one character is held back. One
// per sequence; not thread-safe.
#ifndef HOCKET_RUNTIME_TEXT_DETOKENIZER_H_
#define HOCKET_RUNTIME_TEXT_DETOKENIZER_H_

#include <span>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "runtime/text/tokenizer.h"

namespace hocket {

class Detokenizer {
 public:
  // `prompt` gives the context that decides whether the first token starts with a space; none of it
  // is emitted. `tokenizer` must outlive this.
  Detokenizer(const Tokenizer* tokenizer, std::span<const TokenId> prompt,
              bool skip_special_tokens);

  // The text that `token` completes; empty while a character is still incomplete.
  absl::StatusOr<std::string> Append(TokenId token);

  // What is still held back, incomplete bytes as U+FFFD. Nothing may be appended after it.
  absl::StatusOr<std::string> Finish();

 private:
  std::string Release(size_t end);
  absl::Status CutWindow();
  bool IsTextless(TokenId token) const;

  const Tokenizer* tokenizer_;
  bool skip_special_tokens_;
  std::vector<TokenId> window_;  // The latest tokens, those that have text.
  std::string text_;             // The window's text.
  std::string emitted_;          // What of it has been emitted, or was the prompt's.
};

}  // namespace hocket

#endif  // HOCKET_RUNTIME_TEXT_DETOKENIZER_H_
