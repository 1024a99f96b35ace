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

void RequestState::Start(absl::Time now, StepPlan& plan) {
  Invariant(!started(), "a sequence starts once");
  first_planned_ = now;
  plan.starts.push_back({.sequence = sequence.id(),
                         .choice_index = 0,
                         .spec = request_.spec,
                         .prompt = request_.prompt,
                         .resumed = request_.resumed});
  request_.sink->OnStarted({.queued = Between(submitted_, now),
                            .prompt_tokens = sequence.prompt_tokens(),
                            .cached_tokens = sequence.cached_prompt_tokens()});
}

int32_t RequestState::adoptable_tokens() const {
  const int32_t all_but_last = sequence.total_tokens() - 1;
  if (!request_.needs_whole_prompt || sequence.reached_tokens() >= sequence.prompt_tokens()) {
    return all_but_last;
  }
  return std::min(sequence.reached_tokens(), all_but_last);
}

void RequestState::EndPrefill(absl::Time now) {
  if (!prefilled_.has_value()) prefilled_ = now;
}

void RequestState::Deliver(Outcome outcome) {
  if (HasContent(outcome)) request_.sink->OnOutcome(std::move(outcome));
}

void RequestState::NotifyFinished(Finish finish, const absl::Status& status, absl::Time now) {
  const std::shared_ptr<Sink> sink = std::move(request_.sink);
  Invariant(sink != nullptr, "a request ends once");
  std::vector<TokenId> generated;
  if (finish.reason == FinishReason::kShutdown) {
    generated.assign(sequence.generated().begin(), sequence.generated().end());
  }
  sink->OnFinished({.status = status,
                    .finish = std::move(finish),
                    .usage = {.prompt_tokens = sequence.prompt_tokens(),
                              .cached_tokens = sequence.cached_prompt_tokens(),
                              .generated_tokens = sequence.generated_tokens() - resumed_tokens()},
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
