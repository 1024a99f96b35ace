// A model for tests of the service: every token is a letter, and the text goes round the alphabet
// from the prompt's length on; each further choice is a letter ahead. No weights, no tokenizer.
// Thread rules as of what it stands in for.
#ifndef HOCKET_TESTS_SERVICE_SMALL_MODEL_H_
#define HOCKET_TESTS_SERVICE_SMALL_MODEL_H_

#include <atomic>
#include <map>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/statusor.h"
#include "runtime/generation_spec.h"
#include "scheduler/step.h"
#include "service/model_text.h"

namespace hocket {

inline constexpr int32_t kVocabulary = 256;  // Token ids are bytes.
inline constexpr TokenId kBeginOfText = 1;

// A model of a context of 4096 tokens, called "small".
ModelInfo SmallModelInfo();

// Bytes are tokens; a chat is written "role: content\n". A chat with the role "nobody" is refused.
class ByteText : public ModelText {
 public:
  absl::StatusOr<std::vector<TokenId>> Encode(std::string_view text,
                                              bool add_special_tokens) const override;
  absl::StatusOr<std::string> Decode(std::span<const TokenId> tokens,
                                     bool skip_special_tokens) const override;
  std::optional<std::string> IdToPiece(TokenId token) const override;
  absl::StatusOr<std::vector<size_t>> TextEnds(
      const std::shared_ptr<const std::vector<TokenId>>& prompt,
      const std::shared_ptr<const GenerationSpec>& spec,
      std::span<const TokenId> tokens) const override;
  // No grammar is any good here.
  absl::StatusOr<std::shared_ptr<const Grammar>> CompileGrammar(
      GrammarKind kind, std::string_view text) const override;
  bool has_chat_template() const override { return chats; }
  absl::StatusOr<std::string> RenderChat(const std::vector<ChatMessage>& messages,
                                         bool add_generation_prompt) const override;

  bool chats = true;
};

class LetterExecutor : public Executor {
 public:
  absl::Status Execute(const StepPlan& plan, StepResult& result) override;

  std::atomic<int> step_ms = 0;         // How long a step takes.
  std::atomic<int> live_sequences = 0;  // Whose state is held.
  std::atomic<bool> fail_rows = false;  // Every row fails.
  mutable std::atomic<int> draws = 0;   // Tokens drawn, ever.
  std::atomic<int> ahead = 0;           // Letters that this model is ahead of others.

 private:
  struct Sequence {
    std::shared_ptr<const GenerationSpec> spec;
    std::shared_ptr<const std::vector<TokenId>> prompt;
    int32_t choice_index = 0;
    int32_t generated = 0;
  };

  // Appends the letter at this place of the sequence.
  void Draw(Sequence& sequence, int32_t place, Outcome& outcome) const;

  Outcome RunRow(const StepPlan& plan, const PlanRow& row, Sequence& sequence) const;

  std::map<SequenceId, Sequence> sequences_;
};

// The `count` letters that follow a prompt of this length.
std::string LettersAfter(int32_t prompt_tokens, int32_t count, int32_t choice_index = 0);

// What the model says of the log-probability of each letter of a choice.
double LetterLogprob(int32_t choice_index);

}  // namespace hocket

#endif  // HOCKET_TESTS_SERVICE_SMALL_MODEL_H_
