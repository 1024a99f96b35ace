// A request that the scheduler holds: what was asked, its sequences, where it stands, and when its
// phases began and ended. Tells the request's sink. Owned by the scheduler; engine thread only.
//
// The request is what waits, runs and is preempted: all of its sequences or none. The prompt of
// several is computed once: one of them, the leader, computes all but its last token while the
// others await the fork; then they share its blocks, and each goes its own way from there. After a
// preemption the same happens again.
#ifndef HOCKET_SCHEDULER_REQUEST_STATE_H_
#define HOCKET_SCHEDULER_REQUEST_STATE_H_

#include <cstdint>
#include <optional>
#include <vector>

#include "absl/status/status.h"
#include "absl/time/time.h"
#include "scheduler/request.h"
#include "scheduler/sequence.h"
#include "scheduler/waiting_line.h"

namespace hocket {

class RequestState {
 public:
  // One of its sequences.
  struct Choice {
    Sequence sequence;
    int32_t index = 0;
    int32_t planned_row = -1;  // In the plan that is not committed yet; -1 when it has none.
    bool awaits_fork = false;  // It holds no blocks and will have the leader's.
    bool ended = false;
  };

  // Its sequences have the ids from `first_sequence` on.
  RequestState(Request request, SequenceId first_sequence, int32_t block_tokens,
               int32_t max_context_tokens, absl::Time submitted);

  const Request& request() const { return request_; }
  SequenceId id() const { return id_; }  // Of its first sequence.
  absl::Time submitted() const { return submitted_; }
  bool draws() const { return request_.max_new_tokens > 0; }
  bool is_group() const { return choices_.size() > 1; }
  bool started() const { return first_planned_.has_value(); }  // The executor knows the sequences.

  std::vector<Choice>& choices() { return choices_; }  // In order; never more or fewer.
  const std::vector<Choice>& choices() const { return choices_; }
  const Sequence& first() const { return choices_.front().sequence; }
  int32_t live() const { return live_; }  // Those that have not ended.
  int32_t prompt_tokens() const { return first().prompt_tokens(); }

  // Before it runs: one of its sequences leads, those that can share with it await the fork.
  void AwaitFork();
  // Null unless others await it.
  const Choice* leader() const { return leader_ < 0 ? nullptr : &choices_[leader_]; }
  const Choice& foremost() const;  // The leader, or else the first that has not ended.
  // Lets those who wait share what the leader has computed, once that is all it was to compute.
  void ForkWhenReady();

  // The rest is of a request that runs or might.
  // Every live sequence has one token to compute: those that step together may.
  bool InStep() const;
  // Whether a decode row is next.
  bool Decodes(const Choice& choice) const;
  // How many tokens of a sequence might be in its next row.
  int32_t PlannableTokens(const Choice& choice) const;
  bool WantsRow() const;  // Some sequence that has none yet might have one.
  // How many tokens may come from the cache: all but the last, whose logits are wanted, not past a
  // fork that is to come, and what is wanted of prompt positions must have been had.
  int32_t AdoptableTokens(const Choice& choice) const;
  // Tokens and blocks that it takes to bring all to their last known token, if it has no blocks.
  int64_t PendingTokens() const;
  int32_t BlocksNeeded() const;

  // The first row was planned: adds the sequences to the plan's starts and tells the sink.
  void Start(absl::Time now, StepPlan& plan);

  // The last prompt token's row came back.
  void EndPrefill(absl::Time now);

  // Forwards an outcome that has something for the client.
  void Deliver(const Choice& choice, Outcome outcome);

  // A choice is over; its blocks are free. The request is over with its last.
  void EndChoice(Choice& choice, const Finish& finish);
  const Finish& first_finish() const { return first_finish_; }  // Of the first choice.

  // Tells the sink that all is over, and lets go of it.
  void NotifyFinished(Finish finish, const absl::Status& status, absl::Time now);

 private:
  int32_t shared_tokens() const { return prompt_tokens() - 1; }  // By a fork.
  RequestTimings TimingsAt(absl::Time now) const;

  Request request_;
  const SequenceId id_;
  absl::Time submitted_;
  std::optional<absl::Time> first_planned_;
  std::optional<absl::Time> prefilled_;
  int64_t told_tokens_ = 0;  // Generated ones, in outcomes.
  std::vector<Choice> choices_;
  int32_t live_ = 0;
  int32_t leader_ = -1;  // Among choices_, while others await it.
  Finish first_finish_;

 public:
  // The scheduler's bookkeeping.
  WaitingLine::Tenant* tenant = nullptr;
  WaitTimes tenant_clock;     // When it came: how long its tenant's first had been
                              // blocked,
  absl::Duration line_clock;  // and how long anybody had.
  WaitTimes waited;           // From then to its first plan.
  bool waits = false;         // In the waiting line; else it runs.
  int64_t admission = 0;      // Counts first admissions, from 1; 0 before its own.
  int64_t prefill_step = 0;   // The last step that was asked for prefill rows of it.
};

}  // namespace hocket

#endif  // HOCKET_SCHEDULER_REQUEST_STATE_H_
