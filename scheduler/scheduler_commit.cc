// Commit: what a step's outcomes change.
#include <algorithm>
#include <optional>
#include <span>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "scheduler/finish.h"
#include "scheduler/invariant.h"
#include "scheduler/scheduler_core.h"

namespace hocket {
namespace {

// What a row's outcome must be, whatever else it says.
absl::Status CheckOutcome(const StepPlan& plan, const PlanRow& row, bool beam,
                          const Outcome& outcome) {
  if (!outcome.status.ok()) return outcome.status;
  if (outcome.sequence != row.sequence) {
    return absl::InternalError(absl::StrCat("the executor answered for sequence ", outcome.sequence,
                                            " in place of ", row.sequence));
  }
  const size_t most = row.samples ? static_cast<size_t>(row.draft_tokens) + 1 : 0;
  if (!(beam && row.samples) && outcome.tokens.size() > most) {
    return absl::InternalError(absl::StrCat("the executor drew ", outcome.tokens.size(),
                                            " tokens where ", most, " were asked for"));
  }
  const std::span<const TokenId> drafts = plan.RowTokens(row).last(row.draft_tokens);
  for (size_t i = 0; i + 1 < outcome.tokens.size() && !beam; ++i) {
    if (outcome.tokens[i] == drafts[i]) continue;
    return absl::InternalError("the executor drew a token after a guess that was wrong");
  }
  if (outcome.move.has_value() && !(beam && row.samples)) {
    return absl::InternalError("the executor moved a sequence that was not to move");
  }
  if (!row.samples || outcome.finish.has_value()) return absl::OkStatus();
  if (beam && !outcome.move.has_value()) return absl::InternalError("the executor moved no beam");
  if (!beam && outcome.tokens.empty()) return absl::InternalError("the executor drew no token");
  return absl::OkStatus();
}

}  // namespace

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
    const auto [state, choice] = planned_[i];
    if (state == nullptr) continue;  // Ended since the plan was made, or committed with another.
    if (!step_status.ok()) {
      Fail(*state, step_status, now);
    } else if (state->request().beam && plan_.rows[i].samples) {
      CommitBeams(*state, result, now);
    } else {
      choice->planned_row = -1;
      CommitRow(*state, *choice, plan_.rows[i], result.outcomes[i], now);
    }
  }
  planned_.clear();
  if (!step_status.ok()) RecomputeUncopied();
  line_.Settle();
}

// Whoever had a copy planned but no row must not take the copy for made.
void Scheduler::Core::RecomputeUncopied() {
  const std::vector<BlockCopy> copies = plan_.copies;
  const auto is_target = [&](const BlockLease& lease) {
    return std::ranges::find(copies, lease.block(), &BlockCopy::target) != copies.end();
  };
  for (RequestState* state : std::vector<RequestState*>(running_)) {
    const bool uncopied = std::ranges::any_of(state->choices(), [&](const Choice& choice) {
      return std::ranges::any_of(choice.sequence.block_table(), is_target);
    });
    if (uncopied) Preempt(*state);
  }
}

void Scheduler::Core::CommitRow(RequestState& state, Choice& choice, const PlanRow& row,
                                Outcome& outcome, absl::Time now) {
  if (const absl::Status fault = CheckOutcome(plan_, row, state.request().beam, outcome);
      !fault.ok()) {
    Fail(state, fault, now);
    return;
  }
  Sequence& sequence = choice.sequence;
  if (choice.index != 0 || sequence.computed_tokens() < sequence.reached_tokens()) {
    // Of another choice or recomputed: the client has had these (new prompt tokens are kept out of
    // a row of recomputed ones).
    outcome.prompt_scores.clear();
    if (choice.index != 0 || sequence.reached_tokens() >= sequence.prompt_tokens()) {
      outcome.embedding.clear();
    }
  }
  recomputed_tokens_ += sequence.RecomputedAmong(row.token_count - row.draft_tokens);
  sequence.Advance(row.token_count - row.draft_tokens);
  const auto accepted = static_cast<int32_t>(std::max<size_t>(outcome.tokens.size(), 1) - 1);
  sequence.Accept(std::span(outcome.tokens).first(accepted));
  if (row.samples && sequence.guesses()) sequence.LearnGuesses(row.draft_tokens, accepted);
  draft_tokens_ += row.draft_tokens;
  accepted_draft_tokens_ += accepted;
  if (settings_.prefix_cache) sequence.OfferBlocks(cache_);
  if (sequence.reached_tokens() >= sequence.prompt_tokens()) state.EndPrefill(now);
  if (!outcome.tokens.empty()) sequence.Append(outcome.tokens.back());
  line_.Charge(state, kGeneratedTokenCost * static_cast<double>(outcome.tokens.size()));
  const std::optional<Finish> finish = FinishOf(state, choice, outcome);
  outcome.finish = finish;
  state.Deliver(choice, std::move(outcome));
  if (finish.has_value()) EndChoice(state, choice, *finish, now);
}

// The rows of a beam search, all of which sampled.
void Scheduler::Core::CommitBeams(RequestState& state, StepResult& result, absl::Time now) {
  std::vector<Choice>& choices = state.choices();
  std::vector<Outcome*> outcomes;
  absl::Status fault;
  std::optional<Finish> finish;
  for (const Choice& choice : choices) {
    Invariant(choice.planned_row >= 0, "beams step together");
    Outcome& outcome = result.outcomes[choice.planned_row];
    outcomes.push_back(&outcome);
    fault.Update(CheckOutcome(plan_, plan_.rows[choice.planned_row], true, outcome));
    if (!finish.has_value()) finish = outcome.finish;
    if (!outcome.move.has_value() || finish.has_value()) continue;
    const int32_t parent = outcome.move->parent;
    if (parent < 0 || parent >= static_cast<int32_t>(choices.size())) {
      fault.Update(
          absl::InternalError(absl::StrCat("the executor moved beam ", choice.index, " to parent ",
                                           parent, " of ", choices.size())));
    }
  }
  if (!fault.ok()) {
    Fail(state, fault, now);
    return;
  }
  for (Choice& choice : choices) {
    planned_[std::exchange(choice.planned_row, -1)] = {};
    choice.sequence.Advance(1);
    if (settings_.prefix_cache) choice.sequence.OfferBlocks(cache_);
  }
  state.EndPrefill(now);
  if (!finish.has_value()) {
    MoveBeams(choices, outcomes);
    line_.Charge(state, kGeneratedTokenCost * static_cast<double>(choices.size()));
    finish = FinishOf(state, choices.front(), *outcomes.front());
  }
  for (Choice& choice : choices) {
    Outcome& outcome = *outcomes[choice.index];
    if (choice.index != 0) outcome.prompt_scores.clear();
    outcome.move.reset();
    if (finish.has_value() && !outcome.finish.has_value()) outcome.finish = finish;
    const std::optional<Finish> own = outcome.finish;
    state.Deliver(choice, std::move(outcome));
    if (own.has_value()) EndChoice(state, choice, *own, now);  // The last ends the request.
  }
}

// All at once: whoever goes on from another takes that one's tokens and blocks of before.
void Scheduler::Core::MoveBeams(std::vector<Choice>& choices,
                                const std::vector<Outcome*>& outcomes) {
  struct Fork {
    Sequence* sequence;
    Sequence::Computed computed;
    std::vector<TokenId> generated;
  };
  std::vector<Fork> forks;
  for (Choice& choice : choices) {
    const int32_t parent = outcomes[choice.index]->move->parent;
    if (parent == choice.index) continue;
    const Sequence& other = choices[parent].sequence;
    forks.push_back({.sequence = &choice.sequence,
                     .computed = other.ShareComputedWith(choice.sequence),
                     .generated = other.Generated()});
  }
  for (Fork& fork : forks) {
    fork.sequence->TakeGenerated(fork.generated);
    fork.sequence->GoOnFrom(std::move(fork.computed));
  }
  for (Choice& choice : choices) choice.sequence.Append(outcomes[choice.index]->move->token);
}

std::optional<Finish> Scheduler::Core::FinishOf(const RequestState& state, const Choice& choice,
                                                const Outcome& outcome) const {
  const Sequence& sequence = choice.sequence;
  if (outcome.finish.has_value()) return outcome.finish;
  const bool prefilled = sequence.reached_tokens() >= sequence.prompt_tokens();
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
