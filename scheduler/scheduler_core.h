// The scheduler's state and rules. Requests are kept in arrival order: those running (oldest
// first), then those waiting; every running request is older than every waiting one, which is what
// makes progress certain: blocks are taken from the youngest, and the oldest always gets its row.
#ifndef HOCKET_SCHEDULER_SCHEDULER_CORE_H_
#define HOCKET_SCHEDULER_SCHEDULER_CORE_H_

#include <list>
#include <memory>
#include <set>
#include <string_view>
#include <unordered_map>
#include <utility>
#include <vector>

#include "scheduler/block_pool.h"
#include "scheduler/request_state.h"
#include "scheduler/scheduler.h"

namespace hocket {

class Scheduler::Core {
 public:
  explicit Core(const SchedulerSettings& settings);

  absl::Status CheckFits(int64_t prompt_tokens, int64_t max_new_tokens) const;
  absl::Status Add(Request request, absl::Time now);
  bool Cancel(std::string_view request_id, FinishReason reason, absl::Time now);
  int EndAll(FinishReason reason, absl::Time now);
  const StepPlan& Plan(absl::Time now);
  void Commit(const absl::Status& status, StepResult& result, absl::Time now);
  bool HasWork() const { return !requests_.empty() || !ended_.empty(); }
  SchedulerStats Stats() const;
  PlanShape LastPlanShape() const { return shape_; }
  absl::Time NextDeadline() const;
  void CheckInvariants() const;

 private:
  using DeadlineKey = std::pair<absl::Time, SequenceId>;

  // Plan's parts, in order.
  void BeginPlan();
  void EndExpired(absl::Time now);
  void ReserveBlocks();  // So that every running sequence's known tokens are covered.
  void PlanDecodeRows();
  void PlanPrefillRows();
  void AdmitWaiting(absl::Time now);

  void PreemptYoungest();
  bool MayAdmit(const RequestState& state);
  void AdoptCached(RequestState& state);
  void PlanPrefillRow(RequestState& state);
  void AddRow(RequestState& state, int32_t token_count);
  int32_t ChunkTokens(const RequestState& state) const;

  // Commit's parts.
  void CommitRow(RequestState& state, int32_t token_count, bool samples, Outcome& outcome,
                 absl::Time now);
  std::optional<Finish> FinishOf(const RequestState& state, const Outcome& outcome) const;
  void End(RequestState& state, Finish finish, const absl::Status& status, absl::Time now);

  void CheckTables() const;
  void CheckOrder() const;

  const SchedulerSettings settings_;
  const int32_t running_limit_;  // So that a step always has a token for each that runs.
  BlockPool pool_;
  PrefixCache cache_;

  // Keys are views of the requests' own ids.
  std::unordered_map<std::string_view, std::unique_ptr<RequestState>> requests_;
  std::vector<RequestState*> running_;
  std::list<RequestState*> waiting_;
  // Only finite ones. By sequence rather than by address, so that order never depends on memory.
  std::set<std::pair<DeadlineKey, RequestState*>> deadlines_;
  int32_t preempted_requests_ = 0;  // Of `waiting_`.
  int64_t preemptions_ = 0;
  SequenceId last_sequence_ = 0;

  StepPlan plan_;
  std::vector<RequestState*> planned_;  // [plan_.rows]; null once its request has ended.
  std::vector<SequenceId> ended_;       // Started, ended, and not yet told to the executor.
  PlanShape shape_;
  int32_t budget_tokens_ = 0;  // Left in the plan being made.
  bool preempted_now_ = false;
  bool outstanding_ = false;  // A plan waits for its commit.
};

}  // namespace hocket

#endif  // HOCKET_SCHEDULER_SCHEDULER_CORE_H_
