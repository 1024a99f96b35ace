#include "service/model_text.h"

namespace hocket {
namespace {

class RuntimeText : public ModelText {
 public:
  explicit RuntimeText(const ModelRuntime& runtime)
      : tokenizer_(runtime.tokenizer()), chat_template_(runtime.chat_template()) {}

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

  bool has_chat_template() const override { return chat_template_ != nullptr; }

  absl::StatusOr<std::string> RenderChat(const std::vector<ChatMessage>& messages,
                                         bool add_generation_prompt) const override {
    if (chat_template_ == nullptr) {
      return absl::FailedPreconditionError("the model has no chat template; send text or tokens");
    }
    return chat_template_->Render(messages, add_generation_prompt);
  }

 private:
  const Tokenizer& tokenizer_;
  const ChatTemplate* chat_template_;
};

}  // namespace

std::unique_ptr<ModelText> MakeModelText(const ModelRuntime& runtime) {
  return std::make_unique<RuntimeText>(runtime);
}

}  // namespace hocket
