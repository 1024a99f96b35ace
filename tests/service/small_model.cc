#include "small_model.h"

#include <algorithm>
#include <numeric>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "absl/time/time.h"

namespace hocket {
namespace {

TokenId LetterAt(int32_t position) { return 'a' + position % 26; }

TokenScore ScoreOf(TokenId token, int32_t alternatives) {
  TokenScore score{
      .token = token, .logprob = -0.5f - static_cast<float>(token) / 256, .rank = 1, .top = {}};
  for (int32_t i = 0; i < alternatives; ++i) {
    score.top.push_back({.token = (token + i) % kVocabulary, .logprob = score.logprob - i});
  }
  return score;
}

}  // namespace

ModelInfo SmallModelInfo() {
  ModelInfo info;
  info.name = "small";
  info.architecture = "LetterModel";
  info.vocabulary_size = kVocabulary;
  info.max_context_tokens = 4096;
  info.hidden_size = 4;
  info.end_of_text_tokens = {0};
  info.default_sampling.temperature = 0.7f;
  info.default_sampling.top_k = 40;
  return info;
}

absl::StatusOr<std::vector<TokenId>> ByteText::Encode(std::string_view text,
                                                      bool add_special_tokens) const {
  std::vector<TokenId> tokens;
  if (add_special_tokens) tokens.push_back(kBeginOfText);
  for (unsigned char byte : text) tokens.push_back(byte);
  return tokens;
}

absl::StatusOr<std::string> ByteText::Decode(std::span<const TokenId> tokens,
                                             bool skip_special_tokens) const {
  std::string text;
  for (TokenId token : tokens) {
    if (skip_special_tokens && token == kBeginOfText) continue;
    text.push_back(static_cast<char>(token));
  }
  return text;
}

absl::StatusOr<std::vector<size_t>> ByteText::TextEnds(
    const std::shared_ptr<const std::vector<TokenId>>& /*prompt*/,
    const std::shared_ptr<const GenerationSpec>& /*spec*/, std::span<const TokenId> tokens) const {
  std::vector<size_t> ends(tokens.size());
  std::iota(ends.begin(), ends.end(), 1);
  return ends;
}

absl::StatusOr<std::shared_ptr<const Grammar>> ByteText::CompileGrammar(
    GrammarKind kind, std::string_view text) const {
  return absl::InvalidArgumentError(
      absl::StrCat("no grammar of kind ", static_cast<int>(kind), ": ", std::string(text)));
}

std::optional<std::string> ByteText::IdToPiece(TokenId token) const {
  return absl::StrCat("<", token, ">");
}

absl::StatusOr<std::string> ByteText::RenderChat(const std::vector<ChatMessage>& messages,
                                                 bool add_generation_prompt) const {
  if (!chats) return absl::FailedPreconditionError("the model has no chat template");
  std::string prompt;
  for (const ChatMessage& message : messages) {
    if (message.role == "nobody") return absl::InvalidArgumentError("nobody may not speak");
    absl::StrAppend(&prompt, message.role, ": ", message.content, "\n");
  }
  if (add_generation_prompt) absl::StrAppend(&prompt, "assistant: ");
  return prompt;
}

absl::Status LetterExecutor::Execute(const StepPlan& plan, StepResult& result) {
  result = StepResult{};
  if (step_ms > 0) absl::SleepFor(absl::Milliseconds(step_ms.load()));
  for (SequenceId id : plan.ends) sequences_.erase(id);
  for (const SequenceStart& start : plan.starts) {
    const size_t resumed = start.resumed == nullptr ? 0 : start.resumed->size();
    sequences_[start.sequence] = {.spec = start.spec,
                                  .prompt = start.prompt,
                                  .choice_index = start.choice_index,
                                  .generated = static_cast<int32_t>(resumed)};
  }
  for (const PlanRow& row : plan.rows) {
    result.outcomes.push_back(RunRow(plan, row, sequences_.at(row.sequence)));
  }
  live_sequences = static_cast<int>(sequences_.size());
  return absl::OkStatus();
}

Outcome LetterExecutor::RunRow(const StepPlan& plan, const PlanRow& row, Sequence& sequence) const {
  Outcome outcome;
  outcome.sequence = row.sequence;
  if (fail_rows) {
    outcome.status = absl::InternalError("this row fails");
    return outcome;
  }
  const OutputSettings& output = sequence.spec->output;
  const auto prompt_tokens = static_cast<int32_t>(sequence.prompt->size());
  const int32_t end = row.first_position + row.token_count;
  if (output.prompt_logprobs) {
    for (int32_t position = std::max(row.first_position, 1);
         position < std::min(end, prompt_tokens); ++position) {
      outcome.prompt_scores.push_back(
          ScoreOf(plan.RowTokens(row)[position - row.first_position], output.prompt_top_logprobs));
    }
  }
  if (end == prompt_tokens && output.embedding != EmbeddingPooling::kNone) {
    outcome.embedding = {1, 2, 3, 4};
  }
  if (!row.samples) return outcome;
  // Guesses are checked one after another, as far as they are right.
  const std::span<const TokenId> tokens = plan.RowTokens(row);
  const int32_t known = end - row.draft_tokens;
  for (int32_t i = 0; i <= row.draft_tokens && !outcome.finish; ++i) {
    if (i > 0 && tokens[row.token_count - row.draft_tokens + i - 1] != outcome.tokens.back()) break;
    Draw(sequence, known + row.forgotten_tokens + i, outcome);
  }
  return outcome;
}

void LetterExecutor::Draw(Sequence& sequence, int32_t place, Outcome& outcome) const {
  const OutputSettings& output = sequence.spec->output;
  const TokenId token = LetterAt(place + sequence.choice_index + ahead);
  outcome.tokens.push_back(token);
  outcome.text.push_back(static_cast<char>(token));
  if (output.logprobs) outcome.scores.push_back(ScoreOf(token, output.top_logprobs));
  ++sequence.generated;
  ++draws;
  const StoppingSettings& stopping = sequence.spec->stopping;
  if (std::ranges::count(stopping.stop_tokens, token) > 0) {
    outcome.text.pop_back();
    outcome.finish =
        Finish{.reason = FinishReason::kStopToken, .stop_string = "", .stop_token = token};
  } else if (sequence.generated == stopping.max_new_tokens) {
    outcome.finish = Finish{FinishReason::kLength, "", std::nullopt};
  }
  if (outcome.finish && output.total_logprob) {
    outcome.finish->total_logprob = LetterLogprob(sequence.choice_index) * sequence.generated;
  }
}

double LetterLogprob(int32_t choice_index) { return choice_index % 3 - 4.0; }

std::string LettersAfter(int32_t prompt_tokens, int32_t count, int32_t choice_index) {
  std::string letters;
  for (int32_t i = 0; i < count; ++i) {
    letters.push_back(static_cast<char>(LetterAt(prompt_tokens + choice_index + i)));
  }
  return letters;
}

}  // namespace hocket
