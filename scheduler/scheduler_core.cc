#include "scheduler/scheduler_core.h"

#include <algorithm>
#include <optional>
#include <utility>

#include "absl/strings/str_cat.h"
#include "scheduler/invariant.h"

namespace hocket {
namespace {

Finish FinishWith(FinishReason reason) {
  Finish finish;
  finish.reason = reason;
  return finish;
}

absl::Status StatusOf(FinishReason reason) {
  switch (reason) {
    case FinishReason::kCancelled:
      return absl::CancelledError("the request was cancelled");
    case FinishReason::kDeadline:
      return absl::DeadlineExceededError("the request's deadline passed");
    case FinishReason::kShutdown:
      return absl::UnavailableError("the server is shutting down");
    case FinishReason::kError:
      return absl::InternalError("the request failed");
    default:
      return absl::OkStatus();
  }
}

}  // namespace

Scheduler::Core::Core(const SchedulerSettings& settings)
    : settings_(settings),
      running_limit_(std::min(settings.max_running_sequences, settings.max_step_tokens)),
      pool_(settings.total_blocks),
      cache_(&pool_) {
  Invariant(settings.Validate().ok(), "a scheduler's settings are valid");
}

absl::Status Scheduler::Core::CheckFits(int64_t prompt_tokens, int64_t max_new_tokens) const {
  const int64_t context = settings_.max_context_tokens;
  if (prompt_tokens < 1) return absl::InvalidArgumentError("the prompt has no tokens");
  if (max_new_tokens < 0) {
    return absl::InvalidArgumentError(
        absl::StrCat("max_new_tokens is ", max_new_tokens, "; it must not be negative"));
  }
  const int64_t new_token_room = std::min<int64_t>(max_new_tokens, 1);
  if (prompt_tokens > context - new_token_room) {
    return absl::InvalidArgumentError(
        absl::StrCat("the prompt has ", prompt_tokens, " tokens and the model's context is ",
                     context, new_token_room > 0 ? ", new tokens included" : ""));
  }
  // The token drawn last is never computed, so it needs no block.
  const int64_t positions =
      std::max(prompt_tokens, std::min(prompt_tokens + max_new_tokens, context) - 1);
  const int64_t blocks = (positions + settings_.block_tokens - 1) / settings_.block_tokens;
  if (blocks > settings_.total_blocks) {
    return absl::ResourceExhaustedError(
        absl::StrCat("a prompt of ", prompt_tokens, " tokens with max_new_tokens ", max_new_tokens,
                     " needs ", blocks, " KV blocks of ", settings_.block_tokens,
                     " tokens, and there are ", settings_.total_blocks));
  }
  return absl::OkStatus();
}

absl::Status Scheduler::Core::Add(Request request, absl::Time now) {
  Invariant(request.prompt != nullptr && request.sink != nullptr, "a request is validated");
  if (absl::Status fits = CheckFits(request.prompt->size(), request.max_new_tokens); !fits.ok()) {
    return fits;
  }
  if (requests_.contains(request.id)) {
    return absl::AlreadyExistsError(absl::StrCat("a request with id \"", request.id, "\" is held"));
  }
  const int64_t line = static_cast<int64_t>(waiting_.size()) - preempted_requests_;
  if (line >= settings_.max_waiting_requests) {
    return absl::ResourceExhaustedError(absl::StrCat(
        line, " requests are waiting, and the limit is ", settings_.max_waiting_requests));
  }
  auto owned = std::make_unique<RequestState>(std::move(request), ++last_sequence_,
                                              settings_.block_tokens, now);
  RequestState* state = owned.get();
  requests_.emplace(state->request().id, std::move(owned));
  state->waiting_place = waiting_.insert(waiting_.end(), state);
  state->waits = true;
  if (state->request().deadline != absl::InfiniteFuture()) {
    deadlines_.insert({{state->request().deadline, state->sequence.id()}, state});
  }
  return absl::OkStatus();
}

bool Scheduler::Core::Cancel(std::string_view request_id, FinishReason reason, absl::Time now) {
  const auto found = requests_.find(request_id);
  if (found == requests_.end()) return false;
  End(*found->second, FinishWith(reason), StatusOf(reason), now);
  return true;
}

int Scheduler::Core::EndAll(FinishReason reason, absl::Time now) {
  int ended = 0;
  for (; !running_.empty(); ++ended) {
    End(*running_.front(), FinishWith(reason), StatusOf(reason), now);
  }
  for (; !waiting_.empty(); ++ended) {
    End(*waiting_.front(), FinishWith(reason), StatusOf(reason), now);
  }
  return ended;
}

const StepPlan& Scheduler::Core::Plan(absl::Time now) {
  Invariant(!outstanding_, "a plan is committed before the next is made");
  EndExpired(now);
  BeginPlan();
  ReserveBlocks();
  PlanDecodeRows();
  PlanPrefillRows();
  AdmitWaiting(now);
  outstanding_ = true;
  return plan_;
}

void Scheduler::Core::EndExpired(absl::Time now) {
  while (!deadlines_.empty() && deadlines_.begin()->first.first <= now) {
    End(*deadlines_.begin()->second, FinishWith(FinishReason::kDeadline),
        StatusOf(FinishReason::kDeadline), now);
  }
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
}

void Scheduler::Core::ReserveBlocks() {
  for (size_t i = 0; i < running_.size(); ++i) {
    // Ends at the latest when this sequence is the youngest itself and gives way; the oldest never
    // does, since alone it fits.
    while (i < running_.size() && !running_[i]->sequence.LeaseBlocks(cache_)) PreemptYoungest();
  }
}

void Scheduler::Core::PreemptYoungest() {
  Invariant(running_.size() > 1, "the oldest sequence finds blocks when it runs alone");
  RequestState* state = running_.back();
  running_.pop_back();
  state->sequence.DropBlocks();
  state->waiting_place = waiting_.insert(waiting_.begin(), state);
  state->waits = true;
  ++preempted_requests_;
  ++preemptions_;
  preempted_now_ = true;
}

void Scheduler::Core::PlanDecodeRows() {
  for (RequestState* state : running_) {
    if (!state->sequence.decodes()) continue;
    ++shape_.decode_rows;
    AddRow(*state, 1);
  }
}

void Scheduler::Core::PlanPrefillRows() {
  for (RequestState* state : running_) {
    if (budget_tokens_ == 0) return;
    if (state->planned_row < 0) PlanPrefillRow(*state);
  }
}

void Scheduler::Core::PlanPrefillRow(RequestState& state) {
  AdoptCached(state);  // What a neighbour has computed since.
  const int32_t token_count = ChunkTokens(state);
  ++shape_.prefill_rows;
  shape_.prefill_tokens += token_count;
  AddRow(state, token_count);
}

void Scheduler::Core::AdoptCached(RequestState& state) {
  if (settings_.prefix_cache) {
    cache_.CountSaved(state.sequence.AdoptCached(cache_, state.adoptable_tokens()));
  }
}

void Scheduler::Core::AdmitWaiting(absl::Time now) {
  // What was just preempted must not take its blocks back at once.
  if (preempted_now_) return;
  while (budget_tokens_ > 0 && !waiting_.empty() && MayAdmit(*waiting_.front())) {
    RequestState* state = waiting_.front();
    waiting_.pop_front();
    state->waits = false;
    running_.push_back(state);
    AdoptCached(*state);
    Invariant(state->sequence.LeaseBlocks(cache_), "an admitted sequence finds its blocks");
    if (state->started()) {
      --preempted_requests_;
    } else {
      if (settings_.prefix_cache) cache_.CountQuery(state->sequence.cached_prompt_tokens() > 0);
      state->Start(now, plan_);
    }
    PlanPrefillRow(*state);
  }
}

bool Scheduler::Core::MayAdmit(const RequestState& state) {
  if (running_.empty()) return true;
  const int32_t running = static_cast<int32_t>(running_.size());
  if (running >= running_limit_) return false;
  Sequence::CachedPrefix cached;
  if (settings_.prefix_cache) {
    cached = state.sequence.FindCached(cache_, state.adoptable_tokens());
  }
  // One block in reserve for each that runs: it will soon want its next, and a newcomer that is
  // preempted at once has cost its prefill for nothing.
  return pool_.available_blocks() - cached.idle_blocks >=
         state.sequence.BlocksNeeded() - cached.blocks + running;
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
  return std::min(tokens, budget_tokens_);
}

void Scheduler::Core::AddRow(RequestState& state, int32_t token_count) {
  const bool samples = state.draws() && token_count == state.sequence.pending_tokens();
  state.planned_row = static_cast<int32_t>(planned_.size());
  state.sequence.AppendRow(token_count, samples, plan_);
  planned_.push_back(&state);
  budget_tokens_ -= token_count;
}

void Scheduler::Core::Commit(const absl::Status& status, StepResult& result, absl::Time now) {
  Invariant(outstanding_, "only a plan is committed");
  outstanding_ = false;
  absl::Status step_status = status;
  if (step_status.ok() && result.outcomes.size() != plan_.rows.size()) {
    step_status = absl::InternalError(absl::StrCat("the executor gave ", result.outcomes.size(),
                                                   " outcomes for ", plan_.rows.size(), " rows"));
  }
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

void Scheduler::Core::End(RequestState& state, Finish finish, const absl::Status& status,
                          absl::Time now) {
  if (state.waits) {
    waiting_.erase(state.waiting_place);
    if (state.started()) --preempted_requests_;
  } else {
    running_.erase(std::find(running_.begin(), running_.end(), &state));
  }
  if (state.planned_row >= 0) planned_[state.planned_row] = nullptr;
  if (state.request().deadline != absl::InfiniteFuture()) {
    deadlines_.erase({{state.request().deadline, state.sequence.id()}, &state});
  }
  if (state.started()) ended_.push_back(state.sequence.id());
  state.sequence.DropBlocks();
  const auto owned = requests_.extract(state.request().id);
  owned.mapped()->NotifyFinished(std::move(finish), status, now);
}

SchedulerStats Scheduler::Core::Stats() const {
  return {.running_sequences = static_cast<int32_t>(running_.size()),
          .waiting_requests = static_cast<int32_t>(waiting_.size()),
          .preempted_requests = preempted_requests_,
          .used_blocks = pool_.used_blocks(),
          .cached_blocks = pool_.idle_blocks(),
          .total_blocks = pool_.total_blocks(),
          .preemptions = preemptions_,
          .prefix_cache = cache_.stats()};
}

absl::Time Scheduler::Core::NextDeadline() const {
  return deadlines_.empty() ? absl::InfiniteFuture() : deadlines_.begin()->first.first;
}

}  // namespace hocket
