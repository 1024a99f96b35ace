// Commit: what a step's outcomes change.
#include <algorithm>
#include <optional>
#include <utility>

#include "absl/strings/str_cat.h"
#include "scheduler/finish.h"
#include "scheduler/invariant.h"
#include "scheduler/scheduler_core.h"

namespace hocket {

void Scheduler::Core::Commit(const absl::Status& status, StepResult& result, absl::Time now,
                             absl::Duration executed) {
  Invariant(outstanding_, "only a plan is committed");
  outstanding_ = false;
  absl::Status step_status = status;
  if (step_status.ok() && result.outcomes.size() != plan_.rows.size()) {
    step_status = absl::InternalError(absl::StrCat("the executor gave ", result.outcomes.size(),
                                                   " outcomes for ", plan_.rows.size(), " rows"));
  }
  if (step_status.ok()) model_.Learn(shape_.load, absl::ToDoubleSeconds(executed));
  for (size_t i = 0; i < planned_.size(); ++i) {
    if (planned_[i] == nullptr) continue;  // Ended since the plan was made.
    RequestState& state = *planned_[i];
    if (step_status.ok()) {
      state.planned_row = -1;
      const PlanRow& row = plan_.rows[i];
      CommitRow(state, row.token_count, row.samples, result.outcomes[i], now);
    } else {
      End(state, FinishWith(FinishReason::kError), step_status, now);
    }
  }
  planned_.clear();
  line_.Settle();
}

void Scheduler::Core::CommitRow(RequestState& state, int32_t token_count, bool samples,
                                Outcome& outcome, absl::Time now) {
  Sequence& sequence = state.sequence;
  absl::Status status = outcome.status;
  if (status.ok() && outcome.sequence != sequence.id()) {
    status = absl::InternalError(absl::StrCat("the executor answered for sequence ",
                                              outcome.sequence, " in place of ", sequence.id()));
  } else if (status.ok() && !samples && !outcome.tokens.empty()) {
    status = absl::InternalError("the executor drew a token that was not asked for");
  } else if (status.ok() && samples && outcome.tokens.empty() && !outcome.finish.has_value()) {
    status = absl::InternalError("the executor drew no token");
  }
  if (!status.ok()) {
    End(state, FinishWith(FinishReason::kError), status, now);
    return;
  }
  if (sequence.computed_tokens() < sequence.reached_tokens()) {
    // Recomputed: the client has had these (ChunkTokens keeps new prompt tokens out of such a row).
    outcome.prompt_scores.clear();
    if (sequence.reached_tokens() >= sequence.prompt_tokens()) outcome.embedding.clear();
  }
  sequence.Advance(token_count);
  if (settings_.prefix_cache) sequence.OfferBlocks(cache_);
  if (sequence.computed_tokens() >= sequence.prompt_tokens()) state.EndPrefill(now);
  sequence.Append(outcome.tokens);
  line_.Charge(state, kGeneratedTokenCost * static_cast<double>(outcome.tokens.size()));
  const std::optional<Finish> finish = FinishOf(state, outcome);
  outcome.finish = finish;
  state.Deliver(std::move(outcome));
  if (finish.has_value()) End(state, *finish, absl::OkStatus(), now);
}

std::optional<Finish> Scheduler::Core::FinishOf(const RequestState& state,
                                                const Outcome& outcome) const {
  const Sequence& sequence = state.sequence;
  if (outcome.finish.has_value()) return outcome.finish;
  const bool prefilled = sequence.computed_tokens() >= sequence.prompt_tokens();
  if (prefilled && sequence.generated_tokens() >= state.request().max_new_tokens) {
    return FinishWith(FinishReason::kLength);
  }
  // The executor ends a sequence before this (max_new_tokens is within the context), and only it
  // can flush held-back text; this keeps a sequence within its blocks whatever the executor does.
  if (state.draws() && sequence.total_tokens() >= settings_.max_context_tokens) {
    return FinishWith(FinishReason::kContext);
  }
  return std::nullopt;
}

}  // namespace hocket
