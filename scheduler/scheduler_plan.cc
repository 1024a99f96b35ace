// Plan: which rows the next step computes.
#include <algorithm>
#include <optional>
#include <utility>

#include "absl/strings/str_cat.h"
#include "scheduler/finish.h"
#include "scheduler/invariant.h"
#include "scheduler/scheduler_core.h"

namespace hocket {

const StepPlan& Scheduler::Core::Plan(absl::Time now) {
  Invariant(!outstanding_, "a plan is committed before the next is made");
  CountBlocked(now);
  EndExpired(now);
  EndHopeless(now);
  BeginPlan();
  ReserveBlocks();
  YieldToFirst();
  PlanDecodeRows();
  PlanPrefillRows(now);
  if (model_.fitted() && !shape_.load.empty()) {
    shape_.predicted_seconds = model_.PredictSeconds(shape_.load);
  }
  outstanding_ = true;
  return plan_;
}

void Scheduler::Core::CountBlocked(absl::Time now) {
  // The clock may be set back.
  if (obstacle_.has_value() && now > counted_until_) {
    line_.CountBlocked(*obstacle_, now - counted_until_);
  }
  counted_until_ = now;
}

void Scheduler::Core::EndExpired(absl::Time now) {
  while (!deadlines_.empty() && deadlines_.begin()->first.first <= now) {
    End(*deadlines_.begin()->second, FinishWith(FinishReason::kDeadline),
        StatusOf(FinishReason::kDeadline), now);
  }
}

void Scheduler::Core::EndHopeless(absl::Time now) {
  for (RequestState* state : std::exchange(newcomers_, {})) {
    if (!model_.fitted()) continue;
    const absl::Duration predicted = absl::Seconds(PredictFirstTokenSeconds(*state));
    const absl::Duration left = state->request().deadline - now;
    if (predicted <= left) continue;
    End(*state, FinishWith(FinishReason::kDeadline),
        DeadlinePredicted(absl::StrCat("by prediction the first token comes in ",
                                       absl::FormatDuration(predicted), ", and the deadline is in ",
                                       absl::FormatDuration(left))),
        now);
  }
}

// Errs on the early side: it supposes a free slot, free blocks and that no running sequence's
// context grows, so that nothing is refused that could have made it.
double Scheduler::Core::PredictFirstTokenSeconds(const RequestState& state) {
  int64_t tokens = line_.TokensAhead(state) + state.PendingTokens();
  tokens -= int64_t{settings_.block_tokens} * FindCached(state).blocks;
  StepLoad decoding;
  for (const RequestState* runs : running_) {
    for (const Choice& choice : runs->choices()) {
      if (runs->Decodes(choice)) {
        ++decoding.decode_rows;
        decoding.decode_positions += choice.sequence.total_tokens();
      } else if (runs->request().priority <= state.request().priority) {
        tokens += runs->PlannableTokens(choice);
      }
    }
  }
  int32_t chunk = std::max(settings_.max_step_tokens - decoding.decode_rows, 1);
  if (settings_.target_inter_token > absl::ZeroDuration() && decoding.decode_rows > 0) {
    chunk = std::max(model_.PrefillTokensWithin(absl::ToDoubleSeconds(settings_.target_inter_token),
                                                decoding, 0, chunk),
                     std::min(chunk, kPrefillGrain));
  }
  double seconds =
      static_cast<double>(tokens / chunk) * model_.PredictSeconds(decoding.WithPrefill(0, chunk));
  const int32_t rest = static_cast<int32_t>(tokens % chunk);
  if (rest > 0) seconds += model_.PredictSeconds(decoding.WithPrefill(0, rest));
  return seconds;
}

void Scheduler::Core::BeginPlan() {
  ++plan_.step;
  plan_.ends.clear();
  plan_.ends.swap(ended_);
  plan_.starts.clear();
  plan_.copies.clear();
  plan_.rows.clear();
  plan_.tokens.clear();
  plan_.blocks.clear();
  planned_.clear();
  shape_ = {};
  budget_tokens_ = settings_.max_step_tokens;
  preempted_now_ = false;
  obstacle_.reset();
}

void Scheduler::Core::ReserveBlocks() {
  size_t i = 0;
  while (i < running_.size()) {
    // Here rather than when its rows are planned: with what it finds none of them may be left to
    // plan but those that a fork or a common step brings.
    if (running_[i]->is_group()) AdoptAndFork(*running_[i]);
    if (LeaseBlocks(*running_[i])) {
      ++i;
      continue;
    }
    // Ends at the latest when only the first is left, which fits alone.
    Invariant(running_.size() > 1, "a request that runs alone finds its blocks");
    RequestState& victim = LeastEntitled();
    if (PlaceAmongRunning(victim) < i) --i;
    Preempt(victim);
    preempted_now_ = true;
  }
}

// Of the lowest class that runs, the tenant served most; of its requests, the one admitted last.
// Never the first of several.
RequestState& Scheduler::Core::LeastEntitled() const {
  RequestState* least = running_.back();
  for (size_t i = running_.size() - 1; i > 0; --i) {
    RequestState* state = running_[i];
    if (state->request().priority != least->request().priority) break;
    if (WaitingLine::Served(*state) > WaitingLine::Served(*least)) least = state;
  }
  return *least;
}

void Scheduler::Core::Preempt(RequestState& state) {
  running_.erase(running_.begin() + static_cast<ptrdiff_t>(PlaceAmongRunning(state)));
  running_sequences_ -= state.live();
  for (Choice& choice : state.choices()) {
    for (const BlockLease& lease : choice.sequence.block_table()) {
      if (plan_.copies.empty()) break;
      std::erase_if(plan_.copies,
                    [&](const BlockCopy& copy) { return copy.target == lease.block(); });
    }
    choice.sequence.GiveBlocksBack();
  }
  state.AwaitFork();
  line_.Wait(state);
  ++preemptions_;
}

void Scheduler::Core::YieldToFirst() {
  const RequestState* first = line_.First();
  if (first == nullptr || preempted_now_) return;
  while (!running_.empty() && running_.back()->request().priority > first->request().priority &&
         RoomObstacle(*first).has_value()) {
    Preempt(LeastEntitled());
  }
}

size_t Scheduler::Core::PlaceAmongRunning(const RequestState& state) const {
  const auto before = [](const RequestState* a, const RequestState* b) {
    return std::pair(a->request().priority, a->admission) <
           std::pair(b->request().priority, b->admission);
  };
  return std::lower_bound(running_.begin(), running_.end(), &state, before) - running_.begin();
}

void Scheduler::Core::PlanDecodeRows() {
  decoding_.clear();
  bool guesses = false;
  for (RequestState* state : running_) {
    if (state->request().beam && !state->InStep()) continue;
    for (Choice& choice : state->choices()) {
      if (!state->Decodes(choice)) continue;
      ++shape_.load.decode_rows;
      shape_.load.decode_positions += choice.sequence.total_tokens();
      decoding_.push_back({.state = state, .choice = &choice});
      guesses |= choice.sequence.guesses();
    }
  }
  int32_t draft_budget = guesses ? DraftBudget() : 0;
  const double guess_cost = guesses ? GuessCost() : 0;
  for (const auto [state, choice] : decoding_) {
    int32_t drafts = 0;
    if (draft_budget > 0 && choice->sequence.guesses()) {
      drafts = PlanGuesses(*state, choice->sequence, draft_budget, guess_cost);
      draft_budget -= drafts;
    }
    AddRow(*state, *choice, 1, drafts);
  }
}

// Those who run and those who wait, class by class; within a class, those who run first.
void Scheduler::Core::PlanPrefillRows(absl::Time now) {
  size_t next = 0;
  while (true) {
    while (next < running_.size() &&
           (running_[next]->prefill_step == plan_.step || !running_[next]->WantsRow())) {
      ++next;
    }
    RequestState* runs = next < running_.size() ? running_[next] : nullptr;
    RequestState* waits = obstacle_.has_value() ? nullptr : line_.First();
    if (waits != nullptr &&
        (runs == nullptr || waits->request().priority < runs->request().priority)) {
      obstacle_ = ObstacleOf(*waits);
      if (obstacle_.has_value()) continue;
      Admit(*waits, now);
      PlanPrefillRowsOf(*waits);
    } else if (runs == nullptr) {
      return;
    } else if (!PlanPrefillRowsOf(*runs)) {
      if (waits != nullptr) obstacle_ = Obstacle::kBudget;
      return;
    }
  }
}

std::optional<Obstacle> Scheduler::Core::ObstacleOf(const RequestState& state) {
  // What was just preempted must not take its blocks back at once.
  if (preempted_now_) return Obstacle::kBlocks;
  if (PrefillAllowance(0, 1) == 0) return Obstacle::kBudget;
  return RoomObstacle(state);
}

std::optional<Obstacle> Scheduler::Core::RoomObstacle(const RequestState& state) {
  if (running_.empty()) return std::nullopt;
  if (running_sequences_ + state.live() > running_limit_) return Obstacle::kSlots;
  const Sequence::CachedPrefix cached = FindCached(state);
  // One block in reserve for each that runs: it will soon want its next, and a newcomer that is
  // preempted at once has cost its prefill for nothing.
  const bool fits = pool_.available_blocks() - cached.idle_blocks >=
                    state.BlocksNeeded() - cached.blocks + running_sequences_;
  return fits ? std::nullopt : std::optional(Obstacle::kBlocks);
}

Sequence::CachedPrefix Scheduler::Core::FindCached(const RequestState& state) {
  if (!settings_.prefix_cache) return {};
  const Choice& choice = state.foremost();
  return choice.sequence.FindCached(cache_, state.AdoptableTokens(choice));
}

void Scheduler::Core::Admit(RequestState& state, absl::Time now) {
  line_.Leave(state);
  const bool is_new = !state.started();
  if (is_new) {
    state.admission = ++admissions_;
    state.waited = line_.WaitedBy(state);
  }
  running_.insert(running_.begin() + static_cast<ptrdiff_t>(PlaceAmongRunning(state)), &state);
  running_sequences_ += state.live();
  AdoptAndFork(state);
  Invariant(LeaseBlocks(state), "an admitted request finds its blocks");
  if (!is_new) return;
  const Sequence& sequence = state.first();
  const int32_t cached_tokens = sequence.cached_prompt_tokens();
  if (settings_.prefix_cache) cache_.CountQuery(cached_tokens > 0);
  line_.Charge(state, sequence.prompt_tokens() + sequence.generated_tokens() - cached_tokens);
  line_.Settle();
  state.Start(now, plan_);
}

void Scheduler::Core::AdoptCached(RequestState& state, Choice& choice) {
  if (!settings_.prefix_cache || choice.ended || choice.awaits_fork) return;
  cache_.CountSaved(choice.sequence.AdoptCached(cache_, state.AdoptableTokens(choice)));
}

void Scheduler::Core::AdoptAndFork(RequestState& state) {
  for (Choice& choice : state.choices()) AdoptCached(state, choice);
  if (state.leader() == nullptr) return;
  state.ForkWhenReady();
  if (state.leader() != nullptr) return;
  for (Choice& choice : state.choices()) AdoptCached(state, choice);
}

bool Scheduler::Core::LeaseBlocks(RequestState& state) {
  return std::ranges::all_of(state.choices(), [this](Choice& choice) {
    return choice.ended || choice.awaits_fork || choice.sequence.LeaseBlocks(cache_, plan_.copies);
  });
}

bool Scheduler::Core::PlanPrefillRowsOf(RequestState& state) {
  state.prefill_step = plan_.step;
  const bool together = state.request().beam && state.InStep();
  if (together && PrefillAllowance(state.first().computed_tokens(), state.live()) < state.live()) {
    return false;
  }
  for (Choice& choice : state.choices()) {
    if (choice.planned_row >= 0) continue;
    if (!state.is_group()) AdoptCached(state, choice);  // What a neighbour has computed since.
    const int32_t wanted = state.PlannableTokens(choice);
    if (wanted == 0) continue;
    const int32_t first_position = choice.sequence.computed_tokens();
    const int32_t token_count = together ? 1 : PrefillAllowance(first_position, wanted);
    if (token_count == 0) return false;
    ++shape_.prefill_rows;
    shape_.load = shape_.load.WithPrefill(first_position, token_count);
    AddRow(state, choice, token_count, 0);
  }
  return true;
}

// How many of `tokens` prefill tokens from `first_position` on the step still has room for.
int32_t Scheduler::Core::PrefillAllowance(int32_t first_position, int32_t tokens) const {
  const int32_t most = std::min(budget_tokens_, tokens);
  const bool timed = settings_.target_inter_token > absl::ZeroDuration() && model_.fitted() &&
                     shape_.load.decode_rows > 0;
  if (!timed) return most;
  const int32_t fitting = model_.PrefillTokensWithin(
      absl::ToDoubleSeconds(settings_.target_inter_token), shape_.load, first_position, most);
  if (fitting == most) return most;
  if (fitting >= kPrefillGrain) return fitting - fitting % kPrefillGrain;
  // However slow decoding is, prompts advance.
  return shape_.prefill_rows == 0 ? std::min(most, kPrefillGrain) : 0;
}

void Scheduler::Core::AddRow(RequestState& state, Choice& choice, int32_t token_count,
                             int32_t draft_count) {
  const bool samples = state.draws() && token_count == choice.sequence.pending_tokens();
  choice.planned_row = static_cast<int32_t>(planned_.size());
  choice.sequence.AppendRow(token_count, draft_count, samples, plan_);
  planned_.push_back({.state = &state, .choice = &choice});
  budget_tokens_ -= token_count + draft_count;
}

}  // namespace hocket
