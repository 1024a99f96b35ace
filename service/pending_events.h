// What the engine said of one request and the client has not been sent yet. Outcomes are merged, so
// that a slow reader costs no more memory than the request's own output. Not thread-safe.
#ifndef HOCKET_SERVICE_PENDING_EVENTS_H_
#define HOCKET_SERVICE_PENDING_EVENTS_H_

#include <optional>

#include "absl/status/status.h"
#include "scheduler/request.h"
#include "scheduler/step.h"

namespace hocket {

// Consecutive events of one request; each part may be missing. In the client's order: started,
// prompt scores, the other parts of `output`, the end.
struct EventBatch {
  std::optional<StartedEvent> started;
  Outcome output;  // Several outcomes, one after another.
  std::optional<FinishedEvent> finished;
  std::optional<absl::Status> refused;  // Instead of all else: the engine never had the request.

  bool empty() const;
  bool ends() const { return finished.has_value() || refused.has_value(); }
};

class PendingEvents {
 public:
  void Add(const StartedEvent& event) { batch_.started = event; }
  void Add(Outcome outcome);
  void Add(const FinishedEvent& event) { batch_.finished = event; }
  void Refuse(absl::Status status) { batch_.refused = std::move(status); }

  bool empty() const { return batch_.empty(); }
  EventBatch Take();

 private:
  EventBatch batch_;
};

}  // namespace hocket

#endif  // HOCKET_SERVICE_PENDING_EVENTS_H_
