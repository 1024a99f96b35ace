#include "scheduler/scheduler_core.h"

#include <algorithm>
#include <utility>

#include "absl/strings/str_cat.h"
#include "scheduler/finish.h"
#include "scheduler/invariant.h"

namespace hocket {
Scheduler::Core::Core(const SchedulerSettings& settings)
    : settings_(settings),
      running_limit_(std::min(settings.max_running_sequences, settings.max_step_tokens)),
      pool_(settings.total_blocks),
      cache_(&pool_) {
  Invariant(settings.Validate().ok(), "a scheduler's settings are valid");
  for (const MeasuredStep& step : settings.measured_steps) model_.Learn(step.load, step.seconds);
}

absl::Status Scheduler::Core::CheckFits(int64_t prompt_tokens, int64_t max_new_tokens,
                                        int64_t choices, bool rolls) const {
  const int64_t context = settings_.max_context_tokens;
  if (prompt_tokens < 1) return absl::InvalidArgumentError("the prompt has no tokens");
  if (max_new_tokens < 0) {
    return absl::InvalidArgumentError(
        absl::StrCat("max_new_tokens is ", max_new_tokens, "; it must not be negative"));
  }
  if (choices < 1) {
    return absl::InvalidArgumentError(
        absl::StrCat("choices are ", choices, "; there must be at least 1"));
  }
  const int64_t new_token_room = std::min<int64_t>(max_new_tokens, 1);
  if (prompt_tokens > context - new_token_room) {
    return absl::InvalidArgumentError(
        absl::StrCat("the prompt has ", prompt_tokens, " tokens and the model's context is ",
                     context, new_token_room > 0 ? ", new tokens included" : ""));
  }
  if (choices > running_limit_) {
    return absl::ResourceExhaustedError(absl::StrCat("a request of ", choices,
                                                     " choices or beams runs them all at once, and "
                                                     "at most ",
                                                     running_limit_, " sequences run at once"));
  }
  // The token drawn last is never computed, so it needs no block.
  const int64_t positions =
      std::max(prompt_tokens, std::min(prompt_tokens + max_new_tokens, context) - 1);
  const int64_t each = (positions + settings_.block_tokens - 1) / settings_.block_tokens;
  const bool forgets = rolls && prompt_tokens + max_new_tokens >= context;
  const int64_t shared = forgets ? 0 : (prompt_tokens - 1) / settings_.block_tokens;
  const int64_t blocks = shared + choices * (each - shared);
  if (blocks > settings_.total_blocks) {
    const std::string several = choices > 1 ? absl::StrCat(" and ", choices, " choices") : "";
    return absl::ResourceExhaustedError(
        absl::StrCat("a prompt of ", prompt_tokens, " tokens with max_new_tokens ", max_new_tokens,
                     several, " needs ", blocks, " KV blocks of ", settings_.block_tokens,
                     " tokens, and there are ", settings_.total_blocks));
  }
  return absl::OkStatus();
}

absl::Status Scheduler::Core::Add(Request request, absl::Time now) {
  Invariant(request.prompt != nullptr && request.sink != nullptr, "a request is validated");
  const bool rolls = request.roll_kept_tokens.has_value();
  const bool resumes = request.resumed != nullptr && !request.resumed->empty();
  Invariant(!request.beam || (!resumes && !rolls && request.max_draft_tokens == 0),
            "beams neither resume, roll nor guess");
  Invariant(!resumes || request.choices == 1, "one choice resumes");
  Invariant(!rolls || (*request.roll_kept_tokens >= 0 &&
                       *request.roll_kept_tokens <= settings_.max_context_tokens - 2),
            "what is kept leaves room to forget");
  absl::Status fits =
      CheckFits(request.prompt->size(), request.max_new_tokens, request.choices, rolls);
  if (!fits.ok()) return fits;
  if (requests_.contains(request.id)) {
    return absl::AlreadyExistsError(absl::StrCat("a request with id \"", request.id, "\" is held"));
  }
  CountBlocked(now);
  const SequenceId first_sequence = last_sequence_ + 1;
  last_sequence_ += static_cast<SequenceId>(request.choices);
  auto owned =
      std::make_unique<RequestState>(std::move(request), first_sequence, settings_.block_tokens,
                                     settings_.max_context_tokens, now);
  RequestState* state = owned.get();
  requests_.emplace(state->request().id, std::move(owned));
  line_.Hold(*state);
  line_.Wait(*state);
  if (state->request().deadline != absl::InfiniteFuture()) {
    newcomers_.push_back(state);
    deadlines_.insert({{state->request().deadline, state->id()}, state});
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
  for (; line_.First() != nullptr; ++ended) {
    End(*line_.First(), FinishWith(reason), StatusOf(reason), now);
  }
  return ended;
}

void Scheduler::Core::End(RequestState& state, Finish finish, const absl::Status& status,
                          absl::Time now) {
  if (state.waits) {
    line_.Leave(state);
  } else {
    running_.erase(std::find(running_.begin(), running_.end(), &state));
    running_sequences_ -= state.live();
  }
  if (state.request().deadline != absl::InfiniteFuture()) {
    deadlines_.erase({{state.request().deadline, state.id()}, &state});
    std::erase(newcomers_, &state);
  }
  line_.Release(state);
  for (Choice& choice : state.choices()) {
    if (choice.ended) continue;
    if (choice.planned_row >= 0) planned_[choice.planned_row] = {};
    if (state.started()) ended_.push_back(choice.sequence.id());
    choice.sequence.DropBlocks();
  }
  const auto owned = requests_.extract(state.request().id);
  owned.mapped()->NotifyFinished(std::move(finish), status, now);
}

void Scheduler::Core::Fail(RequestState& state, const absl::Status& status, absl::Time now) {
  End(state, FinishWith(FinishReason::kError), status, now);
}

void Scheduler::Core::EndChoice(RequestState& state, Choice& choice, const Finish& finish,
                                absl::Time now) {
  if (state.live() == 1) {
    const bool is_first = choice.index == 0;
    End(state, is_first ? finish : state.first_finish(), absl::OkStatus(), now);
    return;
  }
  ended_.push_back(choice.sequence.id());
  state.EndChoice(choice, finish);
  --running_sequences_;
}

SchedulerStats Scheduler::Core::Stats() const {
  return {.running_sequences = running_sequences_,
          .running_requests = static_cast<int32_t>(running_.size()),
          .waiting_requests = line_.size(),
          .preempted_requests = line_.preempted(),
          .used_blocks = pool_.used_blocks(),
          .cached_blocks = pool_.idle_blocks(),
          .total_blocks = pool_.total_blocks(),
          .preemptions = preemptions_,
          .recomputed_tokens = recomputed_tokens_,
          .draft_tokens = draft_tokens_,
          .accepted_draft_tokens = accepted_draft_tokens_,
          .prefix_cache = cache_.stats()};
}

absl::Time Scheduler::Core::NextDeadline() const {
  return deadlines_.empty() ? absl::InfiniteFuture() : deadlines_.begin()->first.first;
}

}  // namespace hocket
