// Plan: guessed tokens beside decode rows.
#include <algorithm>

#include "scheduler/scheduler_core.h"

namespace hocket {

// How many guesses the step has room for. At most half of what decode rows leave, so that prompts
// advance too.
int32_t Scheduler::Core::DraftBudget() const {
  const int32_t room = settings_.max_step_tokens - running_sequences_;
  const bool timed = settings_.target_inter_token > absl::ZeroDuration() && model_.fitted();
  if (!timed) return room / 2;
  const auto position =
      static_cast<int32_t>(shape_.load.decode_positions / shape_.load.decode_rows);
  return model_.PrefillTokensWithin(absl::ToDoubleSeconds(settings_.target_inter_token),
                                    shape_.load, position, room) /
         2;
}

// Of one more token in the step, over a decode row's share of the step: DraftControl::Wanted.
double Scheduler::Core::GuessCost() const {
  if (!model_.fitted()) return 0;
  const auto position =
      static_cast<int32_t>(shape_.load.decode_positions / shape_.load.decode_rows);
  const double seconds = model_.PredictSeconds(shape_.load);
  const double longer = model_.PredictSeconds(shape_.load.WithPrefill(position, 1));
  return seconds > 0 ? (longer - seconds) * shape_.load.decode_rows / seconds : 0;
}

int32_t Scheduler::Core::PlanGuesses(const RequestState& state, Sequence& sequence, int32_t budget,
                                     double relative_cost) {
  const Request& request = state.request();
  const int32_t total = sequence.total_tokens();
  // With all guesses right, one more token is drawn.
  const int32_t most = std::min({budget, request.max_draft_tokens,
                                 request.max_new_tokens - sequence.generated_tokens() - 1,
                                 settings_.max_context_tokens - total - 1});
  if (most <= 0) return 0;
  const int32_t guesses = sequence.Guess(most, relative_cost);
  const auto covered = [&] {
    return static_cast<int32_t>(sequence.block_table().size()) * settings_.block_tokens - total;
  };
  // The blocks kept in reserve for those who run are not for guesses.
  while (covered() < guesses && pool_.available_blocks() > running_sequences_ &&
         sequence.LeaseNext(cache_)) {
  }
  const int32_t drafts = std::min(guesses, covered());
  shape_.draft_tokens += drafts;
  shape_.load = shape_.load.WithPrefill(total, drafts);
  return drafts;
}

}  // namespace hocket
