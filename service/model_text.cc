#include "service/model_text.h"

#include "absl/synchronization/mutex.h"
#include "runtime/sequence_state.h"

namespace hocket {
namespace {

class RuntimeText : public ModelText {
 public:
  explicit RuntimeText(const ModelRuntime& runtime)
      : info_(runtime.info()),
        tokenizer_(runtime.tokenizer()),
        chat_template_(runtime.chat_template()) {}

  absl::StatusOr<std::vector<TokenId>> Encode(std::string_view text,
                                              bool add_special_tokens) const override {
    return tokenizer_.Encode(text, add_special_tokens);
  }

  absl::StatusOr<std::string> Decode(std::span<const TokenId> tokens,
                                     bool skip_special_tokens) const override {
    return tokenizer_.Decode(tokens, skip_special_tokens);
  }

  std::optional<std::string> IdToPiece(TokenId token) const override {
    return tokenizer_.IdToPiece(token);
  }

  absl::StatusOr<std::shared_ptr<const Grammar>> CompileGrammar(
      GrammarKind kind, std::string_view text) const override {
    {
      absl::MutexLock lock(&grammar_mutex_);
      if (grammar_vocabulary_ == nullptr) {
        absl::StatusOr<std::unique_ptr<GrammarVocabulary>> made =
            GrammarVocabulary::Make(tokenizer_, info_.end_of_text_tokens, info_.vocabulary_size);
        if (!made.ok()) return made.status();
        grammar_vocabulary_ = *std::move(made);
      }
    }
    return grammar_vocabulary_->Compile(kind, text);  // Never changed once made.
  }

  absl::StatusOr<std::vector<size_t>> TextEnds(
      const std::shared_ptr<const std::vector<TokenId>>& prompt,
      const std::shared_ptr<const GenerationSpec>& spec,
      std::span<const TokenId> tokens) const override {
    SequenceStart start;
    start.prompt = prompt;
    start.spec = spec;
    SequenceState state(start, &tokenizer_, info_);
    Outcome outcome;
    std::vector<size_t> ends;
    for (const TokenId token : tokens) {
      const absl::Status status = state.Accept(token, /*logprob=*/0, outcome);
      if (!status.ok()) return status;
      ends.push_back(outcome.text.size());
      if (outcome.finish) break;
    }
    return ends;
  }

  bool has_chat_template() const override { return chat_template_ != nullptr; }

  absl::StatusOr<std::string> RenderChat(const std::vector<ChatMessage>& messages,
                                         bool add_generation_prompt) const override {
    if (chat_template_ == nullptr) {
      return absl::FailedPreconditionError("the model has no chat template; send text or tokens");
    }
    return chat_template_->Render(messages, add_generation_prompt);
  }

 private:
  const ModelInfo& info_;
  const Tokenizer& tokenizer_;
  const ChatTemplate* chat_template_;
  mutable absl::Mutex grammar_mutex_;
  mutable std::unique_ptr<GrammarVocabulary> grammar_vocabulary_;  // Made for the first grammar.
};

}  // namespace

std::unique_ptr<ModelText> MakeModelText(const ModelRuntime& runtime) {
  return std::make_unique<RuntimeText>(runtime);
}

}  // namespace hocket
