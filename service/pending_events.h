// What the engine said of one request and the client has not been sent yet. Outcomes are merged, so
// that a slow reader costs no more memory than the request's own output. Not thread-safe.
#ifndef HOCKET_SERVICE_PENDING_EVENTS_H_
#define HOCKET_SERVICE_PENDING_EVENTS_H_

#include <cstdint>
#include <optional>
#include <vector>

#include "absl/status/status.h"
#include "scheduler/request.h"
#include "scheduler/step.h"

namespace hocket {

// Consecutive events of one request; each part may be missing. In the client's order: started,
// prompt scores, the choices, the end.
struct EventBatch {
  std::optional<StartedEvent> started;
  std::vector<TokenScore> prompt_scores;
  std::vector<float> embedding;
  // Several outcomes each, one after another; by rising choice_index, each at most once. With its
  // finish where the choice has ended.
  std::vector<Outcome> choices;
  std::optional<FinishedEvent> finished;
  std::optional<absl::Status> refused;  // Instead of all else: the engine never had the request.

  bool empty() const;
  bool ends() const { return finished.has_value() || refused.has_value(); }
  const Outcome* Choice(int32_t index) const;  // Null where it has nothing.
};

class PendingEvents {
 public:
  // Before any other event: of the engine's choices the first so many are told. Where `ranked`,
  // none is until all have ended; then those of the highest mean log-probability (equal ones in the
  // order of their indices, after them those that were cut short), numbered anew, the best as 0.
  void Expect(int32_t choices, bool ranked);

  void Add(const StartedEvent& event) { batch_.started = event; }
  void Add(Outcome outcome);
  void Add(const FinishedEvent& event) { batch_.finished = event; }
  void Refuse(absl::Status status) { batch_.refused = std::move(status); }

  bool empty() const;  // Nothing can be told now.
  EventBatch Take();

 private:
  bool HoldsChoices() const { return ranked_ && !batch_.ends(); }
  Outcome& ChoiceOf(int32_t index);

  EventBatch batch_;
  int32_t choices_ = 1;
  bool ranked_ = false;
};

}  // namespace hocket

#endif  // HOCKET_SERVICE_PENDING_EVENTS_H_
