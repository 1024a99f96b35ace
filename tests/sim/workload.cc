#include "workload.h"

#include <algorithm>
#include <initializer_list>

#include "absl/strings/str_cat.h"
#include "fake_model.h"

namespace hocket {

Workload::Workload(std::mt19937_64* random) : random_(*random) {
  arrival_rate_ = std::uniform_real_distribution<>(0.1, 2.5)(random_);
  burst_rate_ = Chance(0.2) ? 0.05 : 0;
  long_rate_ = Chance(0.3) ? 0.7 : 0.1;
  famine_ = Chance(0.25);
  one_huge_ = Chance(0.2);
  shared_prefixes_ = Chance(0.5);
  tenants_ = Chance(0.5) ? Between(2, 6) : 1;
  flood_rate_ = Chance(0.3) ? 0.9 : 0;
  classes_ = Chance(0.4) ? Between(2, 3) : 1;
  fork_rate_ = Chance(0.4) ? std::uniform_real_distribution<>(0, 0.6)(random_) : 0;
  roll_rate_ = Chance(0.25) ? 0.3 : 0;
  draft_rate_ = Chance(0.3) ? 0.7 : 0;
  cancel_rate_ = Chance(0.5) ? 0.05 : (Chance(0.2) ? 0.5 : 0);
  deadline_rate_ = Chance(0.2) ? 0.6 : 0.1;
  row_fault_rate_ = Chance(0.3) ? 0.005 : 0;
  step_fault_rate_ = Chance(0.3) ? 0.01 : 0;
  milliseconds_per_row_ = std::uniform_real_distribution<>(0.05, 0.5)(random_);
  milliseconds_per_token_ = std::uniform_real_distribution<>(0.05, 0.5)(random_);
}

bool Workload::Chance(double probability) {
  return std::uniform_real_distribution<>(0, 1)(random_) < probability;
}

int32_t Workload::Between(int32_t low, int32_t high) {
  return low + static_cast<int32_t>(random_() % static_cast<uint64_t>(high - low + 1));
}

SchedulerSettings Workload::RandomSettings() {
  const auto pick = [&](std::initializer_list<int32_t> choices) {
    return choices.begin()[random_() % choices.size()];
  };
  SchedulerSettings settings;
  settings.block_tokens = pick({1, 2, 4, 16});
  settings.max_context_tokens = pick({16, 48, 96});
  settings.max_running_sequences = pick({1, 2, 4, 8, 16});
  settings.max_step_tokens = pick({1, 3, 8, 32, 128});
  settings.admission.max_waiting_requests = pick({1, 4, 16, 64});
  settings.admission.max_waiting_tokens = pick({100, 1000, 1 << 20});
  settings.admission.max_tenant_waiting_requests = pick({2, 8, 1000});
  settings.admission.max_tenant_requests = pick({3, 20, 1000});
  // From less than one full context to plenty for all.
  const int32_t context_blocks = settings.max_context_tokens / settings.block_tokens + 1;
  settings.total_blocks = std::max(1, context_blocks * pick({1, 2, 3, 4, 5, 8, 32}) / 2);
  settings.prefix_cache = pick({0, 1, 1}) != 0;
  settings.target_inter_token = absl::Milliseconds(pick({0, 0, 6, 12, 25}));
  return settings;
}

int32_t Workload::Arrivals() {
  int32_t arrivals = Chance(burst_rate_) ? Between(10, 40) : 0;
  for (double rate = arrival_rate_; rate > 0; rate -= 1) {
    if (Chance(std::min(rate, 1.0))) ++arrivals;
  }
  return arrivals;
}

RequestShape Workload::NextRequest(int64_t number, const SchedulerSettings& settings,
                                   absl::Time now) {
  RequestShape shape;
  shape.id = absl::StrCat("r", number);
  const int32_t context = settings.max_context_tokens;
  const bool is_long = Chance(long_rate_);
  shape.prompt = PromptOf(Between(1, is_long ? context + 2 : 12), Between(1, 500));
  shape.max_new_tokens = Chance(0.1) ? 0 : Between(1, is_long ? context : 20);
  if (famine_) {
    shape.prompt = PromptOf(Between(1, 3), Between(1, 500));
    shape.max_new_tokens = Between(context / 2, context);
  }
  if (one_huge_ && number % 20 == 7) shape.prompt = PromptOf(context - 1, Between(1, 500));
  // As chats do: with one of a few beginnings.
  if (shared_prefixes_) {
    for (size_t i = 0; i < shape.prompt.size() * 2 / 3; ++i) shape.prompt[i] = 600;
  }
  // As the service does: what is asked for fits the context.
  const int32_t room = context - static_cast<int32_t>(shape.prompt.size());
  if (room >= 0) shape.max_new_tokens = std::min(shape.max_new_tokens, room);
  if (room > 0 && Chance(roll_rate_)) {
    shape.roll_kept_tokens = Between(0, Chance(0.1) ? context - 2 : context / 4);
    shape.max_new_tokens = Between(0, kRolledContexts * context);
  }
  shape.seed = random_();
  shape.may_stop = Chance(0.5);
  shape.prompt_scores = Chance(0.3);
  shape.cache_salt = absl::StrCat("salt", Between(0, 2));
  const int32_t tenant = Chance(flood_rate_) ? 0 : Between(0, tenants_ - 1);
  shape.tenant = absl::StrCat("tenant", tenant);
  shape.tenant_weight = tenant == 1 ? 2 : 1;
  shape.priority = static_cast<PriorityClass>(classes_ == 1 ? 1 : Between(0, classes_ - 1));
  if (Chance(draft_rate_)) {
    shape.max_draft_tokens = Between(1, 8);
    shape.repeats_itself = Chance(0.7);
  }
  if (Chance(fork_rate_)) {
    MakeGroup(shape, settings);
  } else if (shape.max_new_tokens > 0 && room >= 0 && Chance(0.1)) {
    Resume(shape, settings);
  }
  if (Chance(deadline_rate_)) shape.deadline = now + absl::Milliseconds(Between(-10, 400));
  return shape;
}

void Workload::MakeGroup(RequestShape& shape, const SchedulerSettings& settings) {
  shape.choices = Between(2, std::min(6, settings.max_running_sequences + 1));
  if (!shape.roll_kept_tokens.has_value() && Chance(0.5)) {
    shape.told_beams = Between(1, shape.choices);
    shape.max_draft_tokens = 0;
  }
}

// Another replica stopped in its middle.
void Workload::Resume(RequestShape& shape, const SchedulerSettings& settings) {
  const RecordedRequest whole(shape);
  shape.resumed = OfflineAnswers(whole.request, settings.max_context_tokens)[0].tokens;
  shape.resumed.resize(random_() % shape.resumed.size());
  // What may have been forgotten before it is computed cannot be scored.
  if (shape.roll_kept_tokens.has_value()) shape.prompt_scores = false;
}

int32_t Workload::Cancels() { return Chance(cancel_rate_) ? Between(1, 6) : 0; }

absl::Duration Workload::StepTime(const StepLoad& load) {
  const double milliseconds =
      2 + milliseconds_per_row_ * load.decode_rows + milliseconds_per_token_ * load.prefill_tokens +
      0.001 * static_cast<double>(load.decode_positions + load.prefill_positions);
  const double noise = std::uniform_real_distribution<>(0.95, 1.05)(random_);
  return absl::Milliseconds(milliseconds * noise * (Chance(0.01) ? 8 : 1));
}

absl::Duration Workload::ClockJump() {
  return Chance(0.01) ? absl::Seconds(Between(-2, 2)) : absl::ZeroDuration();
}

}  // namespace hocket
