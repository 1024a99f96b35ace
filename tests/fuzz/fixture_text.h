// The text side of a small model, all of it real: a tokenizer of 421 tokens, a chat template and
// constraints, without weights. Immutable; any thread.
#ifndef HOCKET_TESTS_FUZZ_FIXTURE_TEXT_H_
#define HOCKET_TESTS_FUZZ_FIXTURE_TEXT_H_

#include <memory>

#include "service/model_text.h"

namespace hocket::fuzz {

class FixtureText : public ModelText {
 public:
  FixtureText();

  absl::StatusOr<std::vector<TokenId>> Encode(std::string_view text,
                                              bool add_special_tokens) const override;
  absl::StatusOr<std::string> Decode(std::span<const TokenId> tokens,
                                     bool skip_special_tokens) const override;
  std::optional<std::string> IdToPiece(TokenId token) const override;
  absl::StatusOr<std::shared_ptr<const Grammar>> CompileGrammar(
      GrammarKind kind, std::string_view text) const override;
  bool has_chat_template() const override { return true; }
  absl::StatusOr<std::string> RenderChat(const std::vector<ChatMessage>& messages,
                                         bool add_generation_prompt) const override;

  // Of a model of this text with a context of 256 tokens, called "small".
  ModelInfo Info() const;

 private:
  const Tokenizer& tokenizer_;
  std::unique_ptr<ChatTemplate> chat_template_;
  std::unique_ptr<GrammarVocabulary> grammar_vocabulary_;
};

}  // namespace hocket::fuzz

#endif  // HOCKET_TESTS_FUZZ_FIXTURE_TEXT_H_
