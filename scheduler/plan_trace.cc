// The trace's writer. Its lines, which plan_replay.cc reads:
//   hocket-trace 2 BLOCKS BLOCK_TOKENS RUNNING STEP_TOKENS CONTEXT CACHE TARGET
//   M DECODE_ROWS PREFILL_TOKENS DECODE_POSITIONS PREFILL_POSITIONS SECONDS   a measured step
//   A NOW DEADLINE MAX_NEW CHOICES BEAM KEPT DRAFTS PRIORITY WHOLE WEIGHT TENANT SALT
//     PROMPT RESUMED                                                          Add;
//     KEPT is -1 where the context does not roll; the last two: COUNT TOKEN...
//   C NOW NUMBER REASON                                                       Cancel
//   E NOW REASON                                                              EndAll
//   P NOW DIGEST SUMMARY                                                      Plan
//   R NOW EXECUTED OK COUNT (STATUS FINISH PARENT MOVED COUNT TOKEN...)...    Commit;
//     PARENT and MOVED, a beam's move, are -1 where there is none
#include "scheduler/plan_trace.h"

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "scheduler/plan_digest.h"

namespace hocket {
namespace {

std::string Nanoseconds(absl::Time time) {
  return time == absl::InfiniteFuture() ? "inf" : absl::StrCat(absl::ToUnixNanos(time));
}

}  // namespace

PlanTraceWriter::PlanTraceWriter(const SchedulerSettings& settings, std::ostream* out)
    : out_(*out) {
  out_ << "hocket-trace 2 " << settings.total_blocks << ' ' << settings.block_tokens << ' '
       << settings.max_running_sequences << ' ' << settings.max_step_tokens << ' '
       << settings.max_context_tokens << ' ' << (settings.prefix_cache ? 1 : 0) << ' '
       << absl::ToInt64Nanoseconds(settings.target_inter_token) << '\n';
  for (const MeasuredStep& step : settings.measured_steps) {
    out_ << "M " << step.load.decode_rows << ' ' << step.load.prefill_tokens << ' '
         << step.load.decode_positions << ' ' << step.load.prefill_positions << ' '
         << absl::StrFormat("%.17g", step.seconds) << '\n';
  }
}

int64_t PlanTraceWriter::IndexOf(std::unordered_map<std::string, int64_t>& names,
                                 const std::string& name) {
  return names.emplace(name, static_cast<int64_t>(names.size())).first->second;
}

void PlanTraceWriter::Add(const Request& request, absl::Time now) {
  numbers_[request.id] = ++requests_;
  out_ << "A " << Nanoseconds(now) << ' ' << Nanoseconds(request.deadline) << ' '
       << request.max_new_tokens << ' ' << request.choices << ' ' << (request.beam ? 1 : 0) << ' '
       << request.roll_kept_tokens.value_or(-1) << ' ' << request.max_draft_tokens << ' '
       << static_cast<int>(request.priority) << ' ' << (request.needs_whole_prompt ? 1 : 0) << ' '
       << absl::StrFormat("%.17g", request.tenant_weight) << ' '
       << IndexOf(tenants_, request.tenant) << ' ' << IndexOf(salts_, request.cache_salt) << ' '
       << request.prompt->size();
  for (const TokenId token : *request.prompt) out_ << ' ' << token;
  out_ << ' ' << (request.resumed == nullptr ? 0 : request.resumed->size());
  if (request.resumed != nullptr) {
    for (const TokenId token : *request.resumed) out_ << ' ' << token;
  }
  out_ << '\n';
}

void PlanTraceWriter::Cancel(const std::string& request_id, FinishReason reason, absl::Time now) {
  const auto found = numbers_.find(request_id);
  if (found == numbers_.end()) return;
  out_ << "C " << Nanoseconds(now) << ' ' << found->second << ' ' << static_cast<int>(reason)
       << '\n';
}

void PlanTraceWriter::EndAll(FinishReason reason, absl::Time now) {
  out_ << "E " << Nanoseconds(now) << ' ' << static_cast<int>(reason) << '\n';
}

void PlanTraceWriter::Plan(const StepPlan& plan, absl::Time now) {
  out_ << "P " << Nanoseconds(now) << ' ' << PlanDigest(plan) << ' ' << PlanSummary(plan) << '\n';
}

void PlanTraceWriter::Commit(const absl::Status& status, const StepResult& result, absl::Time now,
                             absl::Duration executed) {
  out_ << "R " << Nanoseconds(now) << ' ' << absl::ToInt64Nanoseconds(executed) << ' '
       << (status.ok() ? 1 : 0) << ' ' << result.outcomes.size();
  for (const Outcome& outcome : result.outcomes) {
    const int finish = outcome.finish ? static_cast<int>(outcome.finish->reason) : -1;
    const BeamMove move = outcome.move.value_or(BeamMove{.parent = -1, .token = -1});
    out_ << ' ' << (outcome.status.ok() ? 1 : 0) << ' ' << finish << ' ' << move.parent << ' '
         << move.token << ' ' << outcome.tokens.size();
    for (const TokenId token : outcome.tokens) out_ << ' ' << token;
  }
  out_ << '\n';
}

}  // namespace hocket
