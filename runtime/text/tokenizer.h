// Text to token ids and back, by the model folder's tokenizer.json (the `tokenizers` crate behind a
// C ABI). Immutable after loading; every method may be called from any thread.
#ifndef HOCKET_RUNTIME_TEXT_TOKENIZER_H_
#define HOCKET_RUNTIME_TEXT_TOKENIZER_H_

#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/statusor.h"
#include "scheduler/step.h"

struct hocket_tokenizer;

namespace hocket {

class Tokenizer {
 public:
  // Reads DIR/tokenizer.json. NOT_FOUND or INVALID_ARGUMENT naming the file and what is wrong.
  static absl::StatusOr<std::unique_ptr<Tokenizer>> Load(const std::string& model_dir);
  ~Tokenizer();
  Tokenizer(const Tokenizer&) = delete;
  Tokenizer& operator=(const Tokenizer&) = delete;

  // `text` must be valid UTF-8 (INVALID_ARGUMENT with the byte offset otherwise). Special tokens
  // written out in the text are recognised as such, as the ecosystem does. `add_special_tokens`
  // adds what the tokenizer's post-processor adds (a beginning-of-text token, say).
  absl::StatusOr<std::vector<TokenId>> Encode(std::string_view text, bool add_special_tokens) const;

  // The text of the whole run of tokens. Ill-formed UTF-8 becomes U+FFFD, one for each maximal
  // ill-formed part (for a byte-fallback tokenizer too, where the ecosystem turns the whole run of
  // byte tokens into U+FFFD). Ids that the vocabulary does not hold, as of a model's padded rows,
  // have no text; a negative one is INVALID_ARGUMENT.
  absl::StatusOr<std::string> Decode(std::span<const TokenId> tokens,
                                     bool skip_special_tokens) const;

  // The vocabulary's own spelling of a token ("Ġthe"), or nullopt for an id out of range.
  std::optional<std::string> IdToPiece(TokenId token) const;
  std::optional<TokenId> PieceToId(std::string_view piece) const;

  int32_t vocabulary_size() const;  // One more than the highest id, added tokens included.
  bool IsSpecial(TokenId token) const;

 private:
  friend class GrammarVocabulary;
  const hocket_tokenizer* handle() const;

  class Impl;
  explicit Tokenizer(std::unique_ptr<Impl> impl);
  std::unique_ptr<Impl> impl_;
};

}  // namespace hocket

#endif  // HOCKET_RUNTIME_TEXT_TOKENIZER_H_
