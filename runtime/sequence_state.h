// What the executor keeps of one sequence from its start to its end, preemptions included: its
// settings, how far its answer has come, and its text so far. Owned by ModelExecutor, engine thread
// only.
#ifndef HOCKET_RUNTIME_SEQUENCE_STATE_H_
#define HOCKET_RUNTIME_SEQUENCE_STATE_H_

#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "runtime/generation_spec.h"
#include "runtime/logit_rules.h"
#include "runtime/model_runtime.h"
#include "runtime/prompt_pooling.h"
#include "runtime/repetition_detector.h"
#include "runtime/sampling/sampling_stage.h"
#include "runtime/text/detokenizer.h"
#include "runtime/text/grammar.h"
#include "runtime/text/sentence_end.h"
#include "runtime/text/stop_matcher.h"
#include "runtime/text/tokenizer.h"
#include "scheduler/step.h"

namespace hocket {

class SequenceState {
 public:
  // INVALID_ARGUMENT when the prompt is missing, empty or has ids outside the vocabulary, or when
  // the spec is missing. `tokenizer` must outlive this.
  static absl::Status Check(const SequenceStart& start, int32_t vocabulary_size);
  SequenceState(const SequenceStart& start, const Tokenizer* tokenizer, const ModelInfo& info);
  SequenceState& operator=(const SequenceState&) = delete;

  // Another sequence that has come as far as this one, and goes its own way from here.
  absl::StatusOr<std::unique_ptr<SequenceState>> Fork() const;

  // FAILED_PRECONDITION when the row but for its guesses does not lie within the tokens known so
  // far and not forgotten, or draws anywhere but from their end on.
  absl::Status CheckRow(const PlanRow& row) const;

  // Whether the logits at `position` are wanted for the score of the prompt token after it, which
  // has not been scored yet.
  bool ScoresAfter(int32_t position) const;

  // Where a grammar says what may come next: works that out for the token to be drawn. To be called
  // before DrawRow, on any one thread.
  bool HasGrammar() const { return spec_->grammar != nullptr; }
  absl::Status ComputeMask();

  // The rows that the sampling stage is asked for: the score of the prompt token at `position`, or
  // a draw of the token at `place` (which counts forgotten ones). The spans within are valid until
  // this changes.
  SamplingRows::Row ScoreRow(int32_t position) const;
  SamplingRows::Row DrawRow(int32_t place);

  // Scores come in rising order of position. Each is handed out with the chunk of its own token.
  void AddPromptScore(TokenScore score);
  std::vector<TokenScore> TakePromptScores(int32_t end_position);

  // Takes tokens that another run of the same request has drawn, as if they had been drawn here;
  // their text is not told again. INVALID_ARGUMENT when the answer ends among them.
  absl::Status Resume(std::span<const TokenId> tokens);

  // Appends a drawn token: text, stop conditions, and the finish when there is one. `logprob` is
  // what DrawRow asked for.
  absl::Status Accept(TokenId token, float logprob, Outcome& outcome);

  // Nothing is to be drawn: the answer ends with the prompt.
  bool EndsWithPrompt() const { return spec_->stopping.max_new_tokens == 0; }
  bool WantsScores() const { return spec_->output.logprobs; }
  int32_t ExplainedCandidates() const { return spec_->output.explained_candidates; }
  int32_t prompt_tokens() const { return static_cast<int32_t>(prompt_->size()); }
  int32_t stop_token_count() const { return static_cast<int32_t>(stop_tokens_.size()); }
  int32_t max_new_tokens() const;  // At least 1; what the context leaves counts too.
  PromptPooling& pooling() { return pooling_; }

 private:
  SequenceState(const SequenceState&) = default;  // Shares what Fork then takes apart.
  bool IsStopToken(TokenId token) const;
  absl::Status StartMatcher();  // Of the grammar, once.
  absl::Status Append(TokenId token, Outcome& outcome);
  absl::Status AppendText(TokenId token, Outcome& outcome);
  std::optional<FinishReason> EndAfter(TokenId token, bool complete);
  absl::Status End(Finish finish, Outcome& outcome);

  std::shared_ptr<const GenerationSpec> spec_;
  std::shared_ptr<const std::vector<TokenId>> prompt_;
  int32_t choice_index_;
  int32_t max_context_tokens_;
  std::vector<TokenId> stop_tokens_;  // The model's own, unless ignored, and the request's; sorted.
  int32_t generated_tokens_ = 0;
  double total_logprob_ = 0;             // Of the tokens drawn here.
  std::vector<TokenScore> held_scores_;  // Of prompt tokens that are in a chunk still to come.
  int32_t next_scored_ = 1;              // The first prompt position without a score.
  PromptPooling pooling_;
  // Shared with nobody, though a pointer that can be copied lets a fork copy all else by default.
  std::shared_ptr<LogitRules> rules_;        // Null where no setting changes logits.
  LogitEdits edits_;                         // What the row to be drawn points at.
  std::shared_ptr<GrammarMatcher> matcher_;  // Null without a grammar, or before the first mask.
  std::vector<uint32_t> mask_;               // Bits, [vocabulary / 32]; empty without a grammar.
  Detokenizer detokenizer_;
  StopMatcher stop_matcher_;
  SentenceEnd sentence_end_;
  std::optional<RepetitionDetector> repetition_;
  absl::Time started_;
};

}  // namespace hocket

#endif  // HOCKET_RUNTIME_SEQUENCE_STATE_H_
