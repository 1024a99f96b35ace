// The scheduler's state and rules. Those who run are kept by class and then by admission, the count
// of first admissions. That is what makes progress certain: whoever is first there is never
// preempted and has a row in every step, so it ends; preempted requests come back before anybody of
// their class is admitted anew; and so each one's turn to be first comes. All of that is said of
// requests; limits, budget and reserve count their sequences.
#ifndef HOCKET_SCHEDULER_SCHEDULER_CORE_H_
#define HOCKET_SCHEDULER_SCHEDULER_CORE_H_

#include <memory>
#include <optional>
#include <set>
#include <string_view>
#include <unordered_map>
#include <utility>
#include <vector>

#include "scheduler/block_pool.h"
#include "scheduler/request_state.h"
#include "scheduler/scheduler.h"
#include "scheduler/step_time_model.h"
#include "scheduler/waiting_line.h"

namespace hocket {

class Scheduler::Core {
 public:
  explicit Core(const SchedulerSettings& settings);

  absl::Status CheckFits(int64_t prompt_tokens, int64_t max_new_tokens, int64_t choices,
                         bool rolls) const;
  absl::Status Add(Request request, absl::Time now);
  bool Cancel(std::string_view request_id, FinishReason reason, absl::Time now);
  int EndAll(FinishReason reason, absl::Time now);
  const StepPlan& Plan(absl::Time now);
  void Commit(const absl::Status& status, StepResult& result, absl::Time now,
              absl::Duration executed);
  bool HasWork() const { return !requests_.empty() || !ended_.empty(); }
  SchedulerStats Stats() const;
  PlanShape LastPlanShape() const { return shape_; }
  absl::Time NextDeadline() const;
  void CheckInvariants() const;

 private:
  using Choice = RequestState::Choice;
  using DeadlineKey = std::pair<absl::Time, SequenceId>;
  struct PlannedRow {
    RequestState* state = nullptr;  // Null once its request has ended.
    Choice* choice = nullptr;
  };

  // Plan's parts, in order.
  void BeginPlan();
  void EndExpired(absl::Time now);
  void EndHopeless(absl::Time now);  // Newcomers whose first token would come
                                     // after their deadline.
  void ReserveBlocks();              // So that every running sequence's known tokens are covered.
  void YieldToFirst();               // A lower class gives way to a higher one that waits.
  void PlanDecodeRows();
  void PlanPrefillRows(absl::Time now);

  RequestState& LeastEntitled() const;
  void Preempt(RequestState& state);
  std::optional<Obstacle> ObstacleOf(const RequestState& state);
  std::optional<Obstacle> RoomObstacle(const RequestState& state);
  Sequence::CachedPrefix FindCached(const RequestState& state);
  void Admit(RequestState& state, absl::Time now);
  size_t PlaceAmongRunning(const RequestState& state) const;
  void AdoptCached(RequestState& state, Choice& choice);
  void AdoptAndFork(RequestState& state);
  bool LeaseBlocks(RequestState& state);
  bool PlanPrefillRowsOf(RequestState& state);  // False when the step has no time for them.
  int32_t DraftBudget() const;
  double GuessCost() const;
  int32_t PlanGuesses(const RequestState& state, Sequence& sequence, int32_t budget,
                      double relative_cost);
  void AddRow(RequestState& state, Choice& choice, int32_t token_count, int32_t draft_count);
  int32_t PrefillAllowance(int32_t first_position, int32_t tokens) const;
  double PredictFirstTokenSeconds(const RequestState& state);
  void CountBlocked(absl::Time now);

  // Commit's parts.
  void CommitRow(RequestState& state, Choice& choice, const PlanRow& row, Outcome& outcome,
                 absl::Time now);
  void CommitBeams(RequestState& state, StepResult& result, absl::Time now);
  static void MoveBeams(std::vector<Choice>& choices, const std::vector<Outcome*>& outcomes);
  std::optional<Finish> FinishOf(const RequestState& state, const Choice& choice,
                                 const Outcome& outcome) const;
  void EndChoice(RequestState& state, Choice& choice, const Finish& finish, absl::Time now);
  void End(RequestState& state, Finish finish, const absl::Status& status, absl::Time now);
  void Fail(RequestState& state, const absl::Status& status, absl::Time now);
  void RecomputeUncopied();  // After a step that failed.

  void CheckTables() const;
  void CheckSequences(const RequestState& state) const;
  void CheckOrder() const;

  const SchedulerSettings settings_;
  const int32_t running_limit_;  // So that a step always has a token for each that runs.
  BlockPool pool_;
  PrefixCache cache_;

  // Keys are views of the requests' own ids.
  std::unordered_map<std::string_view, std::unique_ptr<RequestState>> requests_;
  std::vector<RequestState*> running_;  // By class, then by admission.
  int32_t running_sequences_ = 0;       // Their live ones.
  WaitingLine line_;
  // Only finite ones. By sequence rather than by address, so that order never depends on memory.
  std::set<std::pair<DeadlineKey, RequestState*>> deadlines_;
  std::vector<RequestState*> newcomers_;  // With a deadline, since the last plan.
  StepTimeModel model_;
  int64_t preemptions_ = 0;
  int64_t recomputed_tokens_ = 0;
  int64_t draft_tokens_ = 0;
  int64_t accepted_draft_tokens_ = 0;
  int64_t admissions_ = 0;
  SequenceId last_sequence_ = 0;

  StepPlan plan_;
  std::vector<PlannedRow> planned_;   // [plan_.rows]
  std::vector<PlannedRow> decoding_;  // In the plan being made.
  std::vector<SequenceId> ended_;     // Started, ended, and not yet told to the executor.
  PlanShape shape_;
  int32_t budget_tokens_ = 0;   // Left in the plan being made.
  bool preempted_now_ = false;  // For want of blocks.
  // What keeps the first in line waiting, and since when that is not counted yet.
  std::optional<Obstacle> obstacle_;
  absl::Time counted_until_ = absl::InfinitePast();
  bool outstanding_ = false;  // A plan waits for its commit.
};

}  // namespace hocket

#endif  // HOCKET_SCHEDULER_SCHEDULER_CORE_H_
