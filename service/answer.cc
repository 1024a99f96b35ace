#include "service/answer.h"

#include <algorithm>
#include <optional>
#include <span>
#include <string_view>
#include <utility>

#include "absl/time/time.h"

namespace hocket {

void SetDuration(absl::Duration from, google::protobuf::Duration* to) {
  to->set_seconds(absl::ToInt64Seconds(from));
  to->set_nanos(static_cast<int32_t>(absl::ToInt64Nanoseconds(from % absl::Seconds(1))));
}

namespace {

using Scores = google::protobuf::RepeatedPtrField<v1::TokenScore>;

void SetUsage(const Usage& from, v1::Usage* to) {
  to->set_prompt_tokens(from.prompt_tokens);
  to->set_cached_tokens(from.cached_tokens);
  to->set_generated_tokens(from.generated_tokens);
}

void SetTimings(const RequestTimings& from, v1::Timings* to) {
  SetDuration(from.queued, to->mutable_queued());
  SetDuration(from.prefill, to->mutable_prefill());
  SetDuration(from.decode, to->mutable_decode());
}

void AddScores(std::span<const TokenScore> from, const AnswerContext& context, Scores* to) {
  const bool pieces = context.request.detail.token_pieces;
  for (const TokenScore& score : from) {
    v1::TokenScore& out = *to->Add();
    out.set_token_id(score.token);
    out.set_logprob(score.logprob);
    out.set_rank(score.rank);
    if (pieces) out.set_piece(context.text->IdToPiece(score.token).value_or(""));
    for (const TokenLogprob& alternative : score.top) {
      v1::TokenLogprob& top = *out.add_top();
      top.set_token_id(alternative.token);
      top.set_logprob(alternative.logprob);
      if (pieces) top.set_piece(context.text->IdToPiece(alternative.token).value_or(""));
    }
  }
}

// A prompt's first token follows nothing, so it has no score.
void AddFirstToken(const AnswerContext& context, Scores* to) {
  const TokenId token = context.request.prompt->front();
  v1::TokenScore& out = *to->Add();
  out.set_token_id(token);
  if (context.request.detail.token_pieces) {
    out.set_piece(context.text->IdToPiece(token).value_or(""));
  }
}

// Finished and Choice name the same fields.
template <typename Message>
void SetFinish(const Finish& finish, Message* to) {
  to->set_finish_reason(FinishReasonOf(finish.reason));
  if (finish.reason == FinishReason::kStopString) to->set_stop_string(finish.stop_string);
  if (finish.stop_token) to->set_stop_token(*finish.stop_token);
  if (finish.total_logprob) to->set_total_logprob(*finish.total_logprob);
  if (finish.score) to->set_score(*finish.score);
}

void SetDelta(const ChoicePart& part, const AnswerContext& context, v1::Delta* delta) {
  delta->set_choice_index(part.choice_index);
  delta->set_choice_tokens(part.end_token);
  delta->set_text(part.text);
  if (context.request.detail.token_ids) {
    delta->mutable_token_ids()->Add(part.tokens.begin(), part.tokens.end());
  }
  AddScores(part.scores, context, delta->mutable_logprobs());
}

template <typename Response>
void SetCommon(const EventBatch& batch, const AnswerContext& context, Response* to) {
  to->set_request_id(context.request.request_id);
  to->set_model(context.model_name);
  if (!batch.finished) return;
  SetUsage(batch.finished->usage, to->mutable_usage());
  SetTimings(batch.finished->timings, to->mutable_timings());
}

}  // namespace

v1::FinishReason FinishReasonOf(FinishReason reason) {
  switch (reason) {
    case FinishReason::kStopToken:
      return v1::FINISH_REASON_STOP_TOKEN;
    case FinishReason::kStopString:
      return v1::FINISH_REASON_STOP_STRING;
    case FinishReason::kLength:
      return v1::FINISH_REASON_LENGTH;
    case FinishReason::kContext:
      return v1::FINISH_REASON_CONTEXT;
    case FinishReason::kCancelled:
      return v1::FINISH_REASON_CANCELLED;
    case FinishReason::kDeadline:
      return v1::FINISH_REASON_DEADLINE;
    case FinishReason::kShutdown:
      return v1::FINISH_REASON_SHUTDOWN;
    case FinishReason::kError:
      return v1::FINISH_REASON_ERROR;
    case FinishReason::kConstraint:
      return v1::FINISH_REASON_CONSTRAINT;
    case FinishReason::kSentence:
      return v1::FINISH_REASON_SENTENCE;
    case FinishReason::kTimeLimit:
      return v1::FINISH_REASON_TIME_LIMIT;
    case FinishReason::kRepetition:
      return v1::FINISH_REASON_REPETITION;
  }
  return v1::FINISH_REASON_UNSPECIFIED;
}

void StreamAnswer::AddPromptScores(const EventBatch& batch, const AnswerContext& context,
                                   std::vector<v1::StreamGenerateResponse>& messages) {
  if (!context.request.spec->output.prompt_logprobs || !batch.tells_prompt) return;
  // A prompt of one token has a list of one, without a score.
  const bool whole_prompt_is_first = context.request.prompt->size() == 1 && batch.started;
  if (batch.prompt_scores.empty() && !whole_prompt_is_first) return;
  Scores* to = messages.emplace_back().mutable_prompt_scores()->mutable_scores();
  if (!std::exchange(prompt_scores_begun_, true)) AddFirstToken(context, to);
  AddScores(batch.prompt_scores, context, to);
}

std::vector<v1::StreamGenerateResponse> StreamAnswer::Messages(EventBatch batch,
                                                               const AnswerContext& context) {
  std::vector<v1::StreamGenerateResponse> messages;
  if (batch.refused) return messages;
  if (batch.started) {
    v1::Started& started = *messages.emplace_back().mutable_started();
    started.set_request_id(context.request.request_id);
    started.set_model(context.model_name);
    *started.mutable_settings() = context.request.effective;
    started.set_prompt_tokens(batch.started->prompt_tokens);
    started.set_cached_tokens(batch.started->cached_tokens);
    SetDuration(batch.started->queued, started.mutable_queued());
  }
  AddPromptScores(batch, context, messages);
  const auto choices = static_cast<size_t>(context.request.shape.choices);
  finishes_.resize(choices);
  told_.resize(choices);
  for (ChoicePart& choice : batch.choices) {
    if (!choice.tokens.empty() || !choice.text.empty()) {
      SetDelta(choice, context, messages.emplace_back().mutable_delta());
    }
    if (!choice.finish) continue;
    finishes_[choice.choice_index] = std::move(choice.finish);
    if (++finished_choices_ == context.request.shape.choices) continue;
    v1::Finished& finished = *messages.emplace_back().mutable_finished();
    finished.set_choice_index(choice.choice_index);
    SetFinish(*finishes_[choice.choice_index], &finished);
    told_[choice.choice_index] = true;
  }
  if (!batch.finished) return messages;
  AddEnd(*batch.finished, context, messages);
  if (std::optional<v1::Resume> resume = ResumeOf(batch, context)) {
    *messages.back().mutable_finished()->mutable_resume() = *std::move(resume);
  }
  return messages;
}

void StreamAnswer::AddEnd(const FinishedEvent& end, const AnswerContext& context,
                          std::vector<v1::StreamGenerateResponse>& messages) {
  for (int32_t i = 0; i < context.request.shape.choices; ++i) {
    if (told_[i]) continue;
    v1::Finished& finished = *messages.emplace_back().mutable_finished();
    finished.set_choice_index(i);
    SetFinish(finishes_[i].value_or(end.finish), &finished);
  }
  v1::Finished& last = *messages.back().mutable_finished();
  SetUsage(end.usage, last.mutable_usage());
  SetTimings(end.timings, last.mutable_timings());
}

std::optional<v1::Resume> ResumeOf(const EventBatch& batch, const AnswerContext& context) {
  if (!batch.finished || batch.finished->finish.reason != FinishReason::kShutdown ||
      context.request.shape.sequences > 1) {
    return std::nullopt;
  }
  v1::Resume resume;
  const std::vector<TokenId>& tokens = batch.finished->generated;
  resume.mutable_generated_tokens()->Add(tokens.begin(), tokens.end());
  return resume;
}

v1::GenerateResponse GenerateAnswer(const EventBatch& batch, const AnswerContext& context) {
  v1::GenerateResponse response;
  SetCommon(batch, context, &response);
  *response.mutable_settings() = context.request.effective;
  if (context.request.spec->output.prompt_logprobs && batch.tells_prompt) {
    AddFirstToken(context, response.mutable_prompt_scores());
    AddScores(batch.prompt_scores, context, response.mutable_prompt_scores());
  }
  const ChoicePart nothing;
  for (int32_t i = 0; i < context.request.shape.choices; ++i) {
    const ChoicePart* given = batch.Choice(i);
    const ChoicePart& from = given == nullptr ? nothing : *given;
    v1::Choice& choice = *response.add_choices();
    choice.set_index(i);
    choice.set_text(from.text);
    if (context.request.detail.token_ids) {
      choice.mutable_token_ids()->Add(from.tokens.begin(), from.tokens.end());
    }
    AddScores(from.scores, context, choice.mutable_logprobs());
    if (batch.finished) SetFinish(from.finish.value_or(batch.finished->finish), &choice);
  }
  return response;
}

v1::ScoreResponse ScoreAnswer(const EventBatch& batch, const AnswerContext& context) {
  v1::ScoreResponse response;
  SetCommon(batch, context, &response);
  AddFirstToken(context, response.mutable_scores());
  AddScores(batch.prompt_scores, context, response.mutable_scores());
  double total = 0;
  for (const TokenScore& score : batch.prompt_scores) total += score.logprob;
  response.set_total_logprob(total);
  return response;
}

v1::EmbedResponse EmbedAnswer(const EventBatch& batch, const AnswerContext& context) {
  v1::EmbedResponse response;
  SetCommon(batch, context, &response);
  const OutputSettings& output = context.request.spec->output;
  response.set_pooling(output.embedding == EmbeddingPooling::kLastToken ? v1::POOLING_LAST_TOKEN
                                                                        : v1::POOLING_MEAN);
  response.set_normalized(output.normalize_embedding);
  response.mutable_embedding()->Add(batch.embedding.begin(), batch.embedding.end());
  return response;
}

}  // namespace hocket
