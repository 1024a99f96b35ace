// What a scheduler was told and what it planned, written down so that the same scheduler can be run
// again on it. One line per event; times in nanoseconds, requests by number, tenants and salts by
// index. Prompts and generated tokens are in it as token ids, for the prefix cache depends on them:
// keep a trace as confidential as the requests.
//
// PlanTraceWriter belongs to the engine thread and writes to its stream there, so tracing is for
// looking into decisions, not for every day.
#ifndef HOCKET_SCHEDULER_PLAN_TRACE_H_
#define HOCKET_SCHEDULER_PLAN_TRACE_H_

#include <cstdint>
#include <istream>
#include <ostream>
#include <string>
#include <unordered_map>

#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "scheduler/request.h"
#include "scheduler/scheduler.h"
#include "scheduler/step.h"

namespace hocket {

class PlanTraceWriter {
 public:
  // Writes the settings. `out` must outlive the writer.
  PlanTraceWriter(const SchedulerSettings& settings, std::ostream* out);

  // Each just as the scheduler is called; Plan and Commit after it.
  void Add(const Request& request, absl::Time now);
  void Cancel(const std::string& request_id, FinishReason reason, absl::Time now);
  void EndAll(FinishReason reason, absl::Time now);
  void Plan(const StepPlan& plan, absl::Time now);
  // Before Commit, which takes the outcomes.
  void Commit(const absl::Status& status, const StepResult& result, absl::Time now,
              absl::Duration executed);

 private:
  int64_t IndexOf(std::unordered_map<std::string, int64_t>& names, const std::string& name);

  std::ostream& out_;
  int64_t requests_ = 0;
  std::unordered_map<std::string, int64_t> numbers_;  // By the id of the last request that had it.
  std::unordered_map<std::string, int64_t> tenants_;
  std::unordered_map<std::string, int64_t> salts_;
};

struct ReplayReport {
  int64_t requests = 0;
  int64_t plans = 0;
  std::string difference;  // Empty: every plan was reproduced. Else the first that was not.
};

// Runs a scheduler on what `in` says. INVALID_ARGUMENT naming the line that makes no sense.
absl::StatusOr<ReplayReport> ReplayPlans(std::istream& in);

}  // namespace hocket

#endif  // HOCKET_SCHEDULER_PLAN_TRACE_H_
