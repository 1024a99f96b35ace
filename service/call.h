// One call that the engine serves: from the received message to the end of its answer. It is the
// engine's sink, and hands what it hears to the delivery thread in batches. gRPC, a text thread,
// the engine and the delivery thread all hold it; it lives as long as any of them needs it.
#ifndef HOCKET_SERVICE_CALL_H_
#define HOCKET_SERVICE_CALL_H_

#include <functional>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "absl/time/time.h"
#include "scheduler/engine.h"
#include "scheduler/request.h"
#include "service/answer.h"
#include "service/authorizer.h"
#include "service/call_registry.h"
#include "service/caller.h"
#include "service/delivery_thread.h"
#include "service/metrics.h"
#include "service/pending_events.h"
#include "service/text_pool.h"
#include "service/validate.h"

namespace hocket {

// What every call of one model uses. All outlive all calls; those of the second half are the same
// for all models.
struct CallParts {
  Engine* engine = nullptr;
  const Validator* validator = nullptr;
  const ModelText* text = nullptr;
  Metrics* metrics = nullptr;

  const Authorizer* authorizer = nullptr;
  TextPool* text_pool = nullptr;
  DeliveryThread* delivery = nullptr;
  CallRegistry* calls = nullptr;
};

class Call : public Sink, public Deliverable, public std::enable_shared_from_this<Call> {
 public:
  // `method` must be a literal: it labels metrics and logs. `streams`: batches are delivered as
  // they come; otherwise there is one, when the request has ended.
  Call(const CallParts& parts, absl::string_view method, bool streams, absl::Time deadline,
       Caller caller = {});

  // Validates on a text thread and submits. `request_id` is the client's; empty: one is made. It
  // is held from here to the end: ALREADY_EXISTS goes to the client when another call holds it,
  // RESOURCE_EXHAUSTED when no text thread is to be had. `validate` runs at most once.
  void Start(const std::string& request_id, std::function<absl::StatusOr<ValidRequest>()> validate);

  // Ends the request within a step, or before it reaches the engine. False when it has ended. Any
  // thread.
  bool Cancel();

  // The client went away or the deadline passed: ends the request within a step. Any thread.
  void ClientGone();

  void OnStarted(const StartedEvent& event) override;
  void OnOutcome(Outcome outcome) override;
  void OnFinished(const FinishedEvent& event) override;
  void Deliver() override;

 protected:
  // Sends one batch; `end` is the call's status when the batch ends it. The next comes only after
  // BatchSent. Never called under a lock.
  virtual void Send(EventBatch batch, std::optional<absl::Status> end) = 0;
  void BatchSent();

  const AnswerContext& context() const { return context_; }  // Complete once Send is called.

 private:
  using Validate = std::function<absl::StatusOr<ValidRequest>()>;

  void Submit(const Validate& validate);
  void ObserveTokens(const Outcome& outcome);  // Engine thread only.
  absl::Status SubmitToEngine();
  absl::Status Abandoned() const;  // Why the request is no longer wanted, or OK.
  void Release();                  // Of the id, with mutex_ held.
  void Refuse(absl::Status status);
  void RefuseLocked(absl::Status status);  // With mutex_ held.
  void Schedule();                         // With mutex_ held.
  absl::Status EndStatus(const EventBatch& batch) const;
  void Log(const EventBatch& batch, const absl::Status& status) const;

  const CallParts parts_;
  const absl::string_view method_;
  const bool streams_;
  const absl::Time deadline_;
  const Caller caller_;
  const absl::Time received_;
  // Written before the request is submitted, and then only read; the request id from Start on.
  AnswerContext context_;

  mutable std::mutex mutex_;  // Taken before the engine's and the registry's.
  // Guarded by mutex_:
  PendingEvents pending_;
  bool scheduled_ = false;   // On the delivery thread's list.
  bool sending_ = false;     // A batch is on its way to the client.
  bool registered_ = false;  // The id is this call's.
  bool held_ = false;        // By the engine.
  bool gone_ = false;
  bool cancelled_ = false;
  bool ended_ = false;

  std::vector<absl::Time> last_tokens_;  // By choice. Engine thread only.
};

}  // namespace hocket

#endif  // HOCKET_SERVICE_CALL_H_
