#include "runtime/sequence_state.h"

#include <algorithm>
#include <iterator>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"

namespace hocket {
namespace {

std::vector<TokenId> StopTokens(const StoppingSettings& stopping, const ModelInfo& info) {
  std::vector<TokenId> tokens = stopping.stop_tokens;
  if (!stopping.ignore_eos) {
    tokens.insert(tokens.end(), info.end_of_text_tokens.begin(), info.end_of_text_tokens.end());
  }
  std::erase_if(tokens, [&](TokenId id) { return id < 0 || id >= info.vocabulary_size; });
  std::sort(tokens.begin(), tokens.end());
  tokens.erase(std::unique(tokens.begin(), tokens.end()), tokens.end());
  return tokens;
}

}  // namespace

absl::Status SequenceState::Check(const SequenceStart& start, int32_t vocabulary_size) {
  if (start.spec == nullptr) return absl::InvalidArgumentError("the sequence has no settings");
  if (start.prompt == nullptr || start.prompt->empty()) {
    return absl::InvalidArgumentError("the prompt has no tokens");
  }
  for (size_t i = 0; i < start.prompt->size(); ++i) {
    const TokenId token = (*start.prompt)[i];
    if (token >= 0 && token < vocabulary_size) continue;
    return absl::InvalidArgumentError(absl::StrCat(
        "prompt token ", i, " is ", token, ", outside the vocabulary of ", vocabulary_size));
  }
  return absl::OkStatus();
}

SequenceState::SequenceState(const SequenceStart& start, const Tokenizer* tokenizer,
                             const ModelInfo& info)
    : spec_(start.spec),
      prompt_(start.prompt),
      choice_index_(start.choice_index),
      max_context_tokens_(info.max_context_tokens),
      stop_tokens_(StopTokens(start.spec->stopping, info)),
      pooling_(spec_->output.embedding, spec_->output.normalize_embedding, prompt_tokens()),
      rules_(LogitRules::Make(spec_->sampling, *prompt_, tokenizer, info.vocabulary_size)),
      detokenizer_(tokenizer, *prompt_, !spec_->output.special_tokens_in_text),
      stop_matcher_(spec_->stopping.stop_strings, spec_->stopping.include_stop_string),
      started_(absl::Now()) {
  if (HasGrammar()) mask_.resize((static_cast<size_t>(info.vocabulary_size) + 31) / 32);
  if (const auto& repetition = spec_->stopping.repetition) {
    repetition_.emplace(repetition->max_pattern_tokens, repetition->min_repeats);
  }
}

absl::StatusOr<std::unique_ptr<SequenceState>> SequenceState::Fork() const {
  std::unique_ptr<SequenceState> fork(new SequenceState(*this));
  if (rules_ != nullptr) fork->rules_ = std::make_shared<LogitRules>(*rules_);
  if (matcher_ != nullptr) {
    absl::StatusOr<std::unique_ptr<GrammarMatcher>> matcher = matcher_->Fork();
    if (!matcher.ok()) return matcher.status();
    fork->matcher_ = *std::move(matcher);
  }
  return fork;
}

int32_t SequenceState::max_new_tokens() const {
  const int32_t most = std::max(spec_->stopping.max_new_tokens, 1);
  return spec_->rolls ? most : std::min(most, std::max(max_context_tokens_ - prompt_tokens(), 1));
}

absl::Status SequenceState::CheckRow(const PlanRow& row) const {
  const int32_t all = prompt_tokens() + generated_tokens_;
  if (row.forgotten_tokens < 0 || row.forgotten_tokens > (spec_->rolls ? all : 0)) {
    return absl::FailedPreconditionError(
        absl::StrCat("a row after ", row.forgotten_tokens, " forgotten tokens of a sequence of ",
                     all, " that ", spec_->rolls ? "rolls" : "does not roll"));
  }
  if (row.draft_tokens < 0 || (row.draft_tokens > 0 && !row.samples) ||
      row.draft_tokens >= std::max(row.token_count, 1)) {
    return absl::FailedPreconditionError(absl::StrCat("a row of ", row.token_count, " tokens with ",
                                                      row.draft_tokens, " guesses that ",
                                                      row.samples ? "draws" : "does not draw"));
  }
  const int32_t known = all - row.forgotten_tokens;
  const int32_t end = row.first_position + row.token_count - row.draft_tokens;
  if (row.first_position < 0 || row.token_count <= 0 || end > known) {
    return absl::FailedPreconditionError(absl::StrCat("a row of positions [", row.first_position,
                                                      ", ", end, ") of a sequence of ", known,
                                                      " tokens"));
  }
  if (row.samples && end != known) {
    return absl::FailedPreconditionError(
        absl::StrCat("a draw after ", end, " of a sequence's ", known, " tokens"));
  }
  return absl::OkStatus();
}

bool SequenceState::ScoresAfter(int32_t position) const {
  return spec_->output.prompt_logprobs && position + 1 >= next_scored_ &&
         position + 1 < prompt_tokens();
}

SamplingRows::Row SequenceState::ScoreRow(int32_t position) const {
  SamplingRows::Row row;
  row.given = (*prompt_)[position];
  row.scored = true;
  row.top_logprobs = spec_->output.prompt_top_logprobs;
  return row;
}

SamplingRows::Row SequenceState::DrawRow(int32_t place) {
  const SamplingSettings& sampling = spec_->sampling;
  SamplingRows::Row row;
  row.temperature = sampling.temperature;
  row.top_k = sampling.top_k;
  row.top_p = sampling.top_p;
  row.min_p = sampling.min_p;
  row.typical_p = sampling.typical_p;
  row.top_n_sigma = sampling.top_n_sigma;
  if (sampling.xtc) {
    row.xtc_probability = sampling.xtc->probability;
    row.xtc_threshold = sampling.xtc->threshold;
  }
  row.seed = sampling.seed;
  row.choice_index = choice_index_;
  row.position = place;
  if (generated_tokens_ < spec_->stopping.min_new_tokens) row.masked = stop_tokens_;
  if (rules_ != nullptr || HasGrammar()) {
    edits_ = rules_ != nullptr ? rules_->Edits() : LogitEdits();
    edits_.constraint = mask_;
    row.edits = &edits_;
  }
  row.scored = spec_->output.logprobs || spec_->output.total_logprob;
  row.scored_after = spec_->output.scored_after_filtering;
  row.top_logprobs = spec_->output.logprobs ? spec_->output.top_logprobs : 0;
  return row;
}

void SequenceState::AddPromptScore(TokenScore score) {
  held_scores_.push_back(std::move(score));
  ++next_scored_;
}

std::vector<TokenScore> SequenceState::TakePromptScores(int32_t end_position) {
  // The held scores are those of positions [next_scored_ - held, next_scored_).
  const int32_t held = static_cast<int32_t>(held_scores_.size());
  const int32_t count = std::clamp(end_position - (next_scored_ - held), 0, held);
  std::vector<TokenScore> scores(std::make_move_iterator(held_scores_.begin()),
                                 std::make_move_iterator(held_scores_.begin() + count));
  held_scores_.erase(held_scores_.begin(), held_scores_.begin() + count);
  return scores;
}

bool SequenceState::IsStopToken(TokenId token) const {
  return std::binary_search(stop_tokens_.begin(), stop_tokens_.end(), token);
}

absl::Status SequenceState::StartMatcher() {
  if (!HasGrammar() || matcher_ != nullptr) return absl::OkStatus();
  absl::StatusOr<std::unique_ptr<GrammarMatcher>> matcher = spec_->grammar->NewMatcher();
  if (!matcher.ok()) return matcher.status();
  matcher_ = *std::move(matcher);
  return absl::OkStatus();
}

absl::Status SequenceState::ComputeMask() {
  if (absl::Status status = StartMatcher(); !status.ok()) return status;
  return matcher_->Mask(mask_);
}

absl::Status SequenceState::Resume(std::span<const TokenId> tokens) {
  if (absl::Status status = StartMatcher(); !status.ok()) return status;
  for (size_t i = 0; i < tokens.size(); ++i) {
    Outcome told;
    const absl::Status status = Append(tokens[i], told);
    if (!status.ok()) return status;
    if (told.finish.has_value()) {
      return absl::InvalidArgumentError(
          absl::StrCat("resume.generated_tokens: the answer ends with token ", i, " of ",
                       tokens.size(), ", so there is nothing to go on with"));
    }
  }
  return absl::OkStatus();
}

absl::Status SequenceState::Accept(TokenId token, float logprob, Outcome& outcome) {
  total_logprob_ += logprob;
  const absl::Status status = Append(token, outcome);
  if (outcome.finish.has_value() && spec_->output.total_logprob) {
    outcome.finish->total_logprob = total_logprob_;
  }
  return status;
}

absl::Status SequenceState::Append(TokenId token, Outcome& outcome) {
  ++generated_tokens_;
  if (rules_ != nullptr) rules_->Append(token);
  outcome.tokens.push_back(token);
  if (IsStopToken(token)) {
    return End({.reason = FinishReason::kStopToken, .stop_string = {}, .stop_token = token},
               outcome);
  }
  bool complete = false;
  if (matcher_ != nullptr) {
    const absl::StatusOr<bool> accepted = matcher_->Accept(token);
    if (!accepted.ok()) return accepted.status();
    complete = *accepted;
  }
  if (absl::Status status = AppendText(token, outcome); !status.ok()) return status;
  const std::optional<FinishReason> reason = EndAfter(token, complete);
  if (outcome.finish.has_value() || !reason.has_value()) return absl::OkStatus();
  return End({.reason = *reason, .stop_string = {}, .stop_token = {}}, outcome);
}

// The token's text, up to a stop string or to the end of a sentence.
absl::Status SequenceState::AppendText(TokenId token, Outcome& outcome) {
  absl::StatusOr<std::string> text = detokenizer_.Append(token);
  if (!text.ok()) return text.status();
  bool sentence_ended = false;
  if (spec_->stopping.stop_at_sentence_end) {
    const size_t end = sentence_end_.Append(*text);
    sentence_ended = end != std::string::npos;
    if (sentence_ended && generated_tokens_ < spec_->stopping.min_new_tokens) {  // The next one.
      sentence_ended = false;
      sentence_end_ = SentenceEnd();
      sentence_end_.Append(std::string_view(*text).substr(end));
    }
    if (sentence_ended) text->resize(end);
  }
  StopMatcher::Piece piece = stop_matcher_.Append(*text);
  outcome.text += piece.text;
  if (piece.stop.has_value()) {
    outcome.finish = {.reason = FinishReason::kStopString,
                      .stop_string = *std::move(piece.stop),
                      .stop_token = std::nullopt};
  } else if (sentence_ended) {
    outcome.text += stop_matcher_.Finish();
    outcome.finish = {.reason = FinishReason::kSentence, .stop_string = {}, .stop_token = {}};
  }
  return absl::OkStatus();
}

// Why the answer ends with this token, apart from its text.
std::optional<FinishReason> SequenceState::EndAfter(TokenId token, bool complete) {
  const StoppingSettings& stopping = spec_->stopping;
  const bool repeats = repetition_.has_value() && repetition_->Append(token);
  if (complete) return FinishReason::kConstraint;
  if (repeats) return FinishReason::kRepetition;
  if (generated_tokens_ >= stopping.max_new_tokens) return FinishReason::kLength;
  const bool full = prompt_tokens() + generated_tokens_ >= max_context_tokens_;
  if (full && !spec_->rolls) return FinishReason::kContext;
  const bool limited = stopping.time_limit != absl::InfiniteDuration();
  if (limited && absl::Now() - started_ >= stopping.time_limit) return FinishReason::kTimeLimit;
  return std::nullopt;
}

absl::Status SequenceState::End(Finish finish, Outcome& outcome) {
  absl::StatusOr<std::string> text = detokenizer_.Finish();
  if (!text.ok()) return text.status();
  StopMatcher::Piece piece = stop_matcher_.Append(*text);
  outcome.text += piece.text;
  if (piece.stop.has_value()) {
    finish = {.reason = FinishReason::kStopString,
              .stop_string = *std::move(piece.stop),
              .stop_token = std::nullopt};
  } else {
    outcome.text += stop_matcher_.Finish();
  }
  outcome.finish = std::move(finish);
  return absl::OkStatus();
}

}  // namespace hocket
