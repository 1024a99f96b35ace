#include "scheduler/request_state.h"

#include <algorithm>
#include <memory>
#include <utility>

#include "scheduler/invariant.h"

namespace hocket {
namespace {

// A wall clock may be set back between two readings.
absl::Duration Between(absl::Time begin, absl::Time end) {
  return std::max(end - begin, absl::ZeroDuration());
}

bool HasContent(const Outcome& outcome) {
  return !outcome.tokens.empty() || !outcome.scores.empty() || !outcome.prompt_scores.empty() ||
         !outcome.text.empty() || !outcome.embedding.empty();
}

}  // namespace

RequestState::RequestState(Request request, SequenceId first_sequence, int32_t block_tokens,
                           int32_t max_context_tokens, absl::Time submitted)
    : request_(std::move(request)), id_(first_sequence), submitted_(submitted) {
  choices_.reserve(request_.choices);
  for (int32_t i = 0; i < request_.choices; ++i) {
    choices_.push_back({.sequence = Sequence(first_sequence + static_cast<SequenceId>(i), request_,
                                             block_tokens, max_context_tokens),
                        .index = i});
  }
  live_ = request_.choices;
  AwaitFork();
}

void RequestState::AwaitFork() {
  leader_ = -1;
  if (!is_group()) return;
  int32_t first = -1;
  for (Choice& choice : choices_) {
    // What has forgotten tokens does not begin as the others do.
    if (choice.ended || choice.sequence.forgotten_tokens() > 0) continue;
    choice.awaits_fork = first >= 0;
    if (first < 0) {
      first = choice.index;
    } else {
      leader_ = first;
    }
  }
}

const RequestState::Choice& RequestState::foremost() const {
  if (leader_ >= 0) return choices_[leader_];
  return *std::ranges::find(choices_, false, &Choice::ended);
}

void RequestState::ForkWhenReady() {
  if (leader_ < 0 || choices_[leader_].sequence.computed_tokens() < shared_tokens()) return;
  const Sequence& sequence = choices_[leader_].sequence;
  Invariant(sequence.computed_tokens() == shared_tokens(), "a leader stops at the fork");
  for (Choice& choice : choices_) {
    if (!choice.awaits_fork) continue;
    choice.awaits_fork = false;
    choice.sequence.GoOnFrom(sequence.ShareComputedWith(choice.sequence));
  }
  leader_ = -1;
}

bool RequestState::InStep() const {
  return std::ranges::all_of(choices_, [](const Choice& choice) {
    return choice.ended || (!choice.awaits_fork && choice.sequence.pending_tokens() == 1);
  });
}

bool RequestState::Decodes(const Choice& choice) const {
  if (choice.ended || choice.awaits_fork) return false;
  return choice.sequence.decodes() || (is_group() && choice.sequence.pending_tokens() == 1);
}

int32_t RequestState::PlannableTokens(const Choice& choice) const {
  if (choice.ended || choice.awaits_fork) return 0;
  const Sequence& sequence = choice.sequence;
  int32_t tokens = sequence.pending_tokens();
  if (&choice == leader()) {
    tokens = shared_tokens() - sequence.computed_tokens();
  } else if (request_.beam && !InStep()) {
    --tokens;
  }
  // Recomputed prompt tokens stay in a chunk of their own, so that prompt scores which the client
  // has already had can be told from new ones.
  if (sequence.computed_tokens() < sequence.reached_tokens() &&
      sequence.reached_tokens() < sequence.prompt_tokens()) {
    tokens = std::min(tokens, sequence.reached_tokens() - sequence.computed_tokens());
  }
  return tokens;
}

bool RequestState::WantsRow() const {
  return std::ranges::any_of(choices_, [this](const Choice& choice) {
    return choice.planned_row < 0 && PlannableTokens(choice) > 0;
  });
}

int32_t RequestState::AdoptableTokens(const Choice& choice) const {
  const Sequence& sequence = choice.sequence;
  int32_t tokens = &choice == leader() ? shared_tokens() : sequence.total_tokens() - 1;
  if (request_.needs_whole_prompt && sequence.reached_tokens() < sequence.prompt_tokens()) {
    tokens = std::min(tokens, sequence.reached_tokens());
  }
  return tokens;
}

int64_t RequestState::PendingTokens() const {
  int64_t tokens = 0;
  for (const Choice& choice : choices_) {
    if (choice.ended) continue;
    tokens += choice.sequence.pending_tokens() - (choice.awaits_fork ? shared_tokens() : 0);
  }
  return tokens;
}

int32_t RequestState::BlocksNeeded() const {
  int32_t blocks = 0;
  for (const Choice& choice : choices_) {
    if (choice.ended) continue;
    blocks += choice.sequence.BlocksNeeded();
    if (choice.awaits_fork) blocks -= shared_tokens() / choice.sequence.block_tokens();
  }
  return blocks;
}

void RequestState::Start(absl::Time now, StepPlan& plan) {
  Invariant(!started(), "a request starts once");
  first_planned_ = now;
  for (const Choice& choice : choices_) {
    plan.starts.push_back({.sequence = choice.sequence.id(),
                           .group = id_,
                           .choice_index = choice.index,
                           .spec = request_.spec,
                           .prompt = request_.prompt,
                           .resumed = request_.resumed});
  }
  request_.sink->OnStarted({.queued = Between(submitted_, now),
                            .prompt_tokens = prompt_tokens(),
                            .cached_tokens = first().cached_prompt_tokens()});
}

void RequestState::EndPrefill(absl::Time now) {
  if (!prefilled_.has_value()) prefilled_ = now;
}

void RequestState::Deliver(const Choice& choice, Outcome outcome) {
  if (!HasContent(outcome) && !(is_group() && outcome.finish.has_value())) return;
  outcome.choice_index = choice.index;
  told_tokens_ += static_cast<int64_t>(outcome.tokens.size());
  request_.sink->OnOutcome(std::move(outcome));
}

void RequestState::EndChoice(Choice& choice, const Finish& finish) {
  Invariant(!choice.ended && choice.planned_row < 0, "a choice ends once, after its row");
  choice.ended = true;
  choice.sequence.DropBlocks();
  --live_;
  if (choice.index == 0) first_finish_ = finish;
}

void RequestState::NotifyFinished(Finish finish, const absl::Status& status, absl::Time now) {
  const std::shared_ptr<Sink> sink = std::move(request_.sink);
  Invariant(sink != nullptr, "a request ends once");
  std::vector<TokenId> generated;
  if (finish.reason == FinishReason::kShutdown && !is_group()) generated = first().Generated();
  sink->OnFinished({.status = status,
                    .finish = std::move(finish),
                    .usage = {.prompt_tokens = prompt_tokens(),
                              .cached_tokens = first().cached_prompt_tokens(),
                              .generated_tokens = told_tokens_},
                    .timings = TimingsAt(now),
                    .generated = std::move(generated)});
}

RequestTimings RequestState::TimingsAt(absl::Time now) const {
  RequestTimings timings;
  timings.queued = Between(submitted_, first_planned_.value_or(now));
  if (first_planned_.has_value()) {
    timings.prefill = Between(*first_planned_, prefilled_.value_or(now));
  }
  if (prefilled_.has_value()) timings.decode = Between(*prefilled_, now);
  timings.waits = waited;
  return timings;
}

}  // namespace hocket
