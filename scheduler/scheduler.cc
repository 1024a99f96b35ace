#include "scheduler/scheduler.h"

#include <utility>

#include "absl/strings/str_cat.h"
#include "scheduler/scheduler_core.h"

namespace hocket {

absl::Status SchedulerSettings::Validate() const {
  const std::pair<const char*, int32_t> fields[] = {
      {"total_blocks", total_blocks},
      {"block_tokens", block_tokens},
      {"max_running_sequences", max_running_sequences},
      {"max_step_tokens", max_step_tokens},
      {"max_context_tokens", max_context_tokens}};
  for (const auto& [name, value] : fields) {
    if (value < 1) {
      return absl::InvalidArgumentError(
          absl::StrCat(name, " is ", value, "; it must be at least 1"));
    }
  }
  if (target_inter_token < absl::ZeroDuration()) {
    return absl::InvalidArgumentError("target_inter_token is negative");
  }
  return admission.Validate();
}

Scheduler::Scheduler(const SchedulerSettings& settings) : core_(std::make_unique<Core>(settings)) {}
Scheduler::~Scheduler() = default;

absl::Status Scheduler::CheckFits(int64_t prompt_tokens, int64_t max_new_tokens, int64_t choices,
                                  bool rolls) const {
  return core_->CheckFits(prompt_tokens, max_new_tokens, choices, rolls);
}
absl::Status Scheduler::Add(Request request, absl::Time now) {
  return core_->Add(std::move(request), now);
}
bool Scheduler::Cancel(std::string_view request_id, FinishReason reason, absl::Time now) {
  return core_->Cancel(request_id, reason, now);
}
int Scheduler::EndAll(FinishReason reason, absl::Time now) { return core_->EndAll(reason, now); }
const StepPlan& Scheduler::Plan(absl::Time now) { return core_->Plan(now); }
void Scheduler::Commit(const absl::Status& status, StepResult& result, absl::Time now,
                       absl::Duration executed) {
  core_->Commit(status, result, now, executed);
}
bool Scheduler::HasWork() const { return core_->HasWork(); }
SchedulerStats Scheduler::Stats() const { return core_->Stats(); }
PlanShape Scheduler::LastPlanShape() const { return core_->LastPlanShape(); }
absl::Time Scheduler::NextDeadline() const { return core_->NextDeadline(); }
void Scheduler::CheckInvariants() const { core_->CheckInvariants(); }

}  // namespace hocket
