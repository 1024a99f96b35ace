#include "fixture_text.h"

#include <array>

#include "tests/runtime/text/fixtures.h"

namespace hocket::fuzz {
namespace {

constexpr TokenId kEnd = 1;

}  // namespace

FixtureText::FixtureText()
    : tokenizer_(testing::FixtureTokenizer("byte_level")),
      chat_template_(ChatTemplate::Load(testing::FixtureDir("chat/mistral")).value()) {
  const std::array<TokenId, 1> ends = {kEnd};
  grammar_vocabulary_ =
      GrammarVocabulary::Make(tokenizer_, ends, tokenizer_.vocabulary_size()).value();
}

absl::StatusOr<std::vector<TokenId>> FixtureText::Encode(std::string_view text,
                                                         bool add_special_tokens) const {
  return tokenizer_.Encode(text, add_special_tokens);
}

absl::StatusOr<std::string> FixtureText::Decode(std::span<const TokenId> tokens,
                                                bool skip_special_tokens) const {
  return tokenizer_.Decode(tokens, skip_special_tokens);
}

std::optional<std::string> FixtureText::IdToPiece(TokenId token) const {
  return tokenizer_.IdToPiece(token);
}

absl::StatusOr<std::shared_ptr<const Grammar>> FixtureText::CompileGrammar(
    GrammarKind kind, std::string_view text) const {
  return grammar_vocabulary_->Compile(kind, text);
}

absl::StatusOr<std::string> FixtureText::RenderChat(const std::vector<ChatMessage>& messages,
                                                    bool add_generation_prompt) const {
  return chat_template_->Render(messages, add_generation_prompt);
}

ModelInfo FixtureText::Info() const {
  ModelInfo info;
  info.name = "small";
  info.vocabulary_size = tokenizer_.vocabulary_size();
  info.max_context_tokens = 256;
  info.hidden_size = 4;
  info.end_of_text_tokens = {kEnd};
  info.default_sampling.temperature = 0.7f;
  info.default_sampling.top_k = 40;
  return info;
}

}  // namespace hocket::fuzz
