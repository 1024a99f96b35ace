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
  if (model_.fitted()) shape_.predicted_seconds = model_.PredictSeconds(shape_.load);
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
        absl::DeadlineExceededError(
            absl::StrCat("by prediction the first token comes in ", absl::FormatDuration(predicted),
                         ", and the deadline is in ", absl::FormatDuration(left))),
        now);
  }
}

// Errs on the early side: it supposes a free slot, free blocks and that no running sequence's
// context grows, so that nothing is refused that could have made it.
double Scheduler::Core::PredictFirstTokenSeconds(const RequestState& state) {
  const Sequence& sequence = state.sequence;
  int64_t tokens = line_.TokensAhead(state) + sequence.pending_tokens();
  if (settings_.prefix_cache) {
    tokens -= int64_t{settings_.block_tokens} *
              sequence.FindCached(cache_, state.adoptable_tokens()).blocks;
  }
  StepLoad decoding;
  for (const RequestState* runs : running_) {
    if (runs->sequence.decodes()) {
      ++decoding.decode_rows;
      decoding.decode_positions += runs->sequence.total_tokens();
    } else if (runs->request().priority <= state.request().priority) {
      tokens += runs->sequence.pending_tokens();
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
    if (running_[i]->sequence.LeaseBlocks(cache_)) {
      ++i;
      continue;
    }
    // Ends at the latest when only the first is left, which fits alone.
    Invariant(running_.size() > 1, "a sequence that runs alone finds its blocks");
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
  state.sequence.DropBlocks();
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
  for (RequestState* state : running_) {
    if (!state->sequence.decodes()) continue;
    ++shape_.load.decode_rows;
    shape_.load.decode_positions += state->sequence.total_tokens();
    AddRow(*state, 1);
  }
}

// Those who run and those who wait, class by class; within a class, those who run first.
void Scheduler::Core::PlanPrefillRows(absl::Time now) {
  size_t next = 0;
  while (true) {
    while (next < running_.size() && running_[next]->planned_row >= 0) ++next;
    RequestState* runs = next < running_.size() ? running_[next] : nullptr;
    RequestState* waits = obstacle_.has_value() ? nullptr : line_.First();
    if (waits != nullptr &&
        (runs == nullptr || waits->request().priority < runs->request().priority)) {
      obstacle_ = ObstacleOf(*waits);
      if (obstacle_.has_value()) continue;
      Admit(*waits, now);
      PlanPrefillRow(*waits);
    } else if (runs == nullptr) {
      return;
    } else if (!PlanPrefillRow(*runs)) {
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
  const int32_t running = static_cast<int32_t>(running_.size());
  if (running >= running_limit_) return Obstacle::kSlots;
  Sequence::CachedPrefix cached;
  if (settings_.prefix_cache) {
    cached = state.sequence.FindCached(cache_, state.adoptable_tokens());
  }
  // One block in reserve for each that runs: it will soon want its next, and a newcomer that is
  // preempted at once has cost its prefill for nothing.
  const bool fits = pool_.available_blocks() - cached.idle_blocks >=
                    state.sequence.BlocksNeeded() - cached.blocks + running;
  return fits ? std::nullopt : std::optional(Obstacle::kBlocks);
}

void Scheduler::Core::Admit(RequestState& state, absl::Time now) {
  line_.Leave(state);
  const bool is_new = !state.started();
  if (is_new) {
    state.admission = ++admissions_;
    state.waited = line_.WaitedBy(state);
  }
  running_.insert(running_.begin() + static_cast<ptrdiff_t>(PlaceAmongRunning(state)), &state);
  AdoptCached(state);
  Invariant(state.sequence.LeaseBlocks(cache_), "an admitted sequence finds its blocks");
  if (!is_new) return;
  const int32_t cached_tokens = state.sequence.cached_prompt_tokens();
  if (settings_.prefix_cache) cache_.CountQuery(cached_tokens > 0);
  line_.Charge(state, state.sequence.total_tokens() - cached_tokens);
  line_.Settle();
  state.Start(now, plan_);
}

void Scheduler::Core::AdoptCached(RequestState& state) {
  if (settings_.prefix_cache) {
    cache_.CountSaved(state.sequence.AdoptCached(cache_, state.adoptable_tokens()));
  }
}

bool Scheduler::Core::PlanPrefillRow(RequestState& state) {
  AdoptCached(state);  // What a neighbour has computed since.
  const int32_t token_count = ChunkTokens(state);
  if (token_count == 0) return false;
  ++shape_.prefill_rows;
  shape_.load = shape_.load.WithPrefill(state.sequence.computed_tokens(), token_count);
  AddRow(state, token_count);
  return true;
}

int32_t Scheduler::Core::ChunkTokens(const RequestState& state) const {
  const Sequence& sequence = state.sequence;
  int32_t tokens = sequence.pending_tokens();
  // Recomputed prompt tokens stay in a chunk of their own, so that prompt scores which the client
  // has already had can be told from new ones.
  if (sequence.computed_tokens() < sequence.reached_tokens() &&
      sequence.reached_tokens() < sequence.prompt_tokens()) {
    tokens = sequence.reached_tokens() - sequence.computed_tokens();
  }
  return PrefillAllowance(sequence.computed_tokens(), tokens);
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
  return shape_.load.prefill_tokens == 0 ? std::min(most, kPrefillGrain) : 0;
}

void Scheduler::Core::AddRow(RequestState& state, int32_t token_count) {
  const bool samples = state.draws() && token_count == state.sequence.pending_tokens();
  state.planned_row = static_cast<int32_t>(planned_.size());
  state.sequence.AppendRow(token_count, samples, plan_);
  planned_.push_back(&state);
  budget_tokens_ -= token_count;
}

}  // namespace hocket
