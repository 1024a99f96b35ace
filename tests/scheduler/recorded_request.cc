#include "recorded_request.h"

#include <numeric>
#include <utility>

namespace hocket {

void RecordingSink::OnStarted(const StartedEvent& event) {
  std::lock_guard lock(mutex_);
  if (heard_.started.has_value()) heard_.violations.push_back("started twice");
  if (heard_.ended()) heard_.violations.push_back("started after the end");
  heard_.started = event;
}

void RecordingSink::OnOutcome(Outcome outcome) {
  std::lock_guard lock(mutex_);
  if (!heard_.started.has_value()) heard_.violations.push_back("an outcome before the start");
  if (heard_.ended()) heard_.violations.push_back("an outcome after the end");
  ++heard_.outcomes;
  if (heard_.choices.size() <= static_cast<size_t>(outcome.choice_index)) {
    heard_.choices.resize(outcome.choice_index + 1);
  }
  HeardChoice& choice = heard_.choices[outcome.choice_index];
  if (choice.finish.has_value()) heard_.violations.push_back("a choice went on after its end");
  choice.tokens.insert(choice.tokens.end(), outcome.tokens.begin(), outcome.tokens.end());
  choice.text += outcome.text;
  choice.finish = outcome.finish;
  heard_.tokens.insert(heard_.tokens.end(), outcome.tokens.begin(), outcome.tokens.end());
  heard_.text += outcome.text;
  for (TokenScore& score : outcome.prompt_scores) heard_.prompt_scores.push_back(std::move(score));
  if (!outcome.embedding.empty()) heard_.embedding = outcome.embedding;
  changed_.notify_all();
}

void RecordingSink::OnFinished(const FinishedEvent& event) {
  std::lock_guard lock(mutex_);
  ++heard_.finished_events;
  if (heard_.finished_events > 1) heard_.violations.push_back("ended twice");
  heard_.finished = event;
  changed_.notify_all();
}

Heard RecordingSink::Get() const {
  std::lock_guard lock(mutex_);
  return heard_;
}

bool RecordingSink::Ended() const {
  std::lock_guard lock(mutex_);
  return heard_.ended();
}

Heard RecordingSink::WaitForEnd() const {
  std::unique_lock lock(mutex_);
  changed_.wait(lock, [this] { return heard_.ended(); });
  return heard_;
}

void RecordingSink::WaitForTokens(size_t token_count) const {
  std::unique_lock lock(mutex_);
  changed_.wait(lock, [&] { return heard_.ended() || heard_.tokens.size() >= token_count; });
}

std::vector<TokenId> PromptOf(int32_t token_count, TokenId first) {
  std::vector<TokenId> prompt(token_count);
  std::iota(prompt.begin(), prompt.end(), first);
  return prompt;
}

RecordedRequest::RecordedRequest(const RequestShape& shape)
    : sink(std::make_shared<RecordingSink>()) {
  auto spec = std::make_shared<GenerationSpec>();
  spec->sampling.seed = shape.seed;
  spec->stopping.max_new_tokens = shape.max_new_tokens;
  spec->stopping.ignore_eos = !shape.may_stop;
  spec->output.prompt_logprobs = shape.prompt_scores;
  if (shape.embedding) spec->output.embedding = EmbeddingPooling::kLastToken;
  if (shape.repeats_itself) spec->sampling.temperature = 0;
  if (shape.told_beams > 0) {
    spec->beam.emplace();
    spec->beam->width = shape.choices;
    spec->beam->returned = shape.told_beams;
  }
  spec->rolls = shape.roll_kept_tokens.has_value();
  request.choices = shape.choices;
  request.beam = shape.told_beams > 0;
  request.roll_kept_tokens = shape.roll_kept_tokens;
  request.max_draft_tokens = shape.max_draft_tokens;
  request.id = shape.id;
  request.prompt = std::make_shared<std::vector<TokenId>>(shape.prompt);
  request.max_new_tokens = shape.max_new_tokens;
  if (!shape.resumed.empty()) {
    request.resumed = std::make_shared<std::vector<TokenId>>(shape.resumed);
  }
  request.spec = std::move(spec);
  request.deadline = shape.deadline;
  request.cache_salt = shape.cache_salt;
  request.priority = shape.priority;
  request.tenant = shape.tenant;
  request.tenant_weight = shape.tenant_weight;
  request.needs_whole_prompt = shape.prompt_scores;
  request.sink = sink;
}

}  // namespace hocket
