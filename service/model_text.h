// What the service needs of a model's text side: tokens to and from text, and chats to prompts. An
// interface, so that the service can be tested without a model. Every method may be called from any
// thread.
#ifndef HOCKET_SERVICE_MODEL_TEXT_H_
#define HOCKET_SERVICE_MODEL_TEXT_H_

#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/statusor.h"
#include "runtime/model_runtime.h"
#include "runtime/text/chat_template.h"
#include "runtime/text/grammar.h"
#include "scheduler/step.h"

namespace hocket {

class ModelText {
 public:
  virtual ~ModelText() = default;

  // As Tokenizer and ChatTemplate.
  virtual absl::StatusOr<std::vector<TokenId>> Encode(std::string_view text,
                                                      bool add_special_tokens) const = 0;
  virtual absl::StatusOr<std::string> Decode(std::span<const TokenId> tokens,
                                             bool skip_special_tokens) const = 0;
  virtual std::optional<std::string> IdToPiece(TokenId token) const = 0;
  // As GrammarVocabulary::Compile; INVALID_ARGUMENT says what is wrong with `text`.
  virtual absl::StatusOr<std::shared_ptr<const Grammar>> CompileGrammar(
      GrammarKind kind, std::string_view text) const = 0;
  // Where the text of an answer ends, in bytes, after each of its `tokens`, as far as it has been
  // released by then (what may become a stop string is held back).
  virtual absl::StatusOr<std::vector<size_t>> TextEnds(
      const std::shared_ptr<const std::vector<TokenId>>& /*prompt*/,
      const std::shared_ptr<const GenerationSpec>& /*spec*/,
      std::span<const TokenId> /*tokens*/) const {
    return absl::UnimplementedError("this text does not tell");
  }
  virtual bool has_chat_template() const = 0;
  // FAILED_PRECONDITION when the model has no chat template.
  virtual absl::StatusOr<std::string> RenderChat(const std::vector<ChatMessage>& messages,
                                                 bool add_generation_prompt) const = 0;
};

// A model as the service sees it. What is pointed to must outlive its user.
struct ServedModel {
  ModelInfo info;
  const ModelText* text = nullptr;
  Executor* executor = nullptr;
};

// `runtime` must outlive it.
std::unique_ptr<ModelText> MakeModelText(const ModelRuntime& runtime);

}  // namespace hocket

#endif  // HOCKET_SERVICE_MODEL_TEXT_H_
