// A request that the scheduler holds: what was asked, its sequence, where it stands, and when its
// phases began and ended. Tells the request's sink. Owned by the scheduler; engine thread only.
#ifndef HOCKET_SCHEDULER_REQUEST_STATE_H_
#define HOCKET_SCHEDULER_REQUEST_STATE_H_

#include <cstdint>
#include <optional>

#include "absl/status/status.h"
#include "absl/time/time.h"
#include "scheduler/request.h"
#include "scheduler/sequence.h"
#include "scheduler/waiting_line.h"

namespace hocket {

class RequestState {
 public:
  RequestState(Request request, SequenceId id, int32_t block_tokens, absl::Time submitted)
      : request_(std::move(request)),
        submitted_(submitted),
        sequence(id, request_.prompt, request_.resumed.get(), block_tokens, request_.cache_salt) {}

  const Request& request() const { return request_; }
  absl::Time submitted() const { return submitted_; }
  int32_t resumed_tokens() const {
    return request_.resumed == nullptr ? 0 : static_cast<int32_t>(request_.resumed->size());
  }
  bool draws() const { return request_.max_new_tokens > 0; }
  bool started() const { return first_planned_.has_value(); }  // The executor knows the sequence.

  // The first row was planned: adds the sequence to the plan's starts and tells the sink.
  void Start(absl::Time now, StepPlan& plan);

  // The last prompt token's row came back.
  void EndPrefill(absl::Time now);

  // Forwards an outcome that has something for the client.
  void Deliver(Outcome outcome);

  // Tells the sink that all is over, and lets go of it.
  void NotifyFinished(Finish finish, const absl::Status& status, absl::Time now);

  // How many tokens may come from the cache: all but the last, whose logits are wanted, and what is
  // wanted of prompt positions must have been had.
  int32_t adoptable_tokens() const;

 private:
  RequestTimings TimingsAt(absl::Time now) const;

  Request request_;
  absl::Time submitted_;
  std::optional<absl::Time> first_planned_;
  std::optional<absl::Time> prefilled_;

 public:
  Sequence sequence;  // Views what request_ owns.

  // The scheduler's bookkeeping.
  WaitingLine::Tenant* tenant = nullptr;
  WaitTimes tenant_clock;     // When it came: how long its tenant's first had been
                              // blocked,
  absl::Duration line_clock;  // and how long anybody had.
  WaitTimes waited;           // From then to its first plan.
  bool waits = false;         // In the waiting line; else it runs.
  int64_t admission = 0;      // Counts first admissions, from 1; 0 before its own.
  int32_t planned_row = -1;   // In the plan that is not committed yet; -1 when it has none.
};

}  // namespace hocket

#endif  // HOCKET_SCHEDULER_REQUEST_STATE_H_
