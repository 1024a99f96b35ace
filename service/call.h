// One call that the engine serves: from the received message to the end of its answer. It is the
// engine's sink, and hands what it hears to the delivery thread in batches. gRPC, a text thread,
// the engine and the delivery thread all hold it; it lives as long as any of them needs it.
#ifndef HOCKET_SERVICE_CALL_H_
#define HOCKET_SERVICE_CALL_H_

#include <functional>
#include <memory>
#include <mutex>
#include <optional>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "absl/time/time.h"
#include "scheduler/engine.h"
#include "scheduler/request.h"
#include "service/answer.h"
#include "service/delivery_thread.h"
#include "service/metrics.h"
#include "service/pending_events.h"
#include "service/text_pool.h"
#include "service/validate.h"

namespace hocket {

// What every call uses. All outlive all calls.
struct CallParts {
  Engine* engine = nullptr;
  const Validator* validator = nullptr;
  const ModelText* text = nullptr;
  TextPool* text_pool = nullptr;
  DeliveryThread* delivery = nullptr;
  Metrics* metrics = nullptr;
};

class Call : public Sink, public Deliverable, public std::enable_shared_from_this<Call> {
 public:
  // `method` must be a literal: it labels metrics and logs. `streams`: batches are delivered as
  // they come; otherwise there is one, when the request has ended.
  Call(const CallParts& parts, absl::string_view method, bool streams, absl::Time deadline);

  // Validates on a text thread and submits. RESOURCE_EXHAUSTED goes to the client when no text
  // thread is to be had. `validate` runs at most once.
  void Start(std::function<absl::StatusOr<ValidRequest>()> validate);

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
  void Submit(absl::StatusOr<ValidRequest> valid);
  void Refuse(absl::Status status);
  void Schedule();  // With mutex_ held.
  absl::Status EndStatus(const EventBatch& batch) const;
  void Log(const EventBatch& batch, const absl::Status& status) const;

  const CallParts parts_;
  const absl::string_view method_;
  const bool streams_;
  const absl::Time deadline_;
  const absl::Time received_;
  AnswerContext context_;  // Written before the request is submitted, and then only read.

  std::mutex mutex_;
  // Guarded by mutex_:
  PendingEvents pending_;
  bool scheduled_ = false;  // On the delivery thread's list.
  bool sending_ = false;    // A batch is on its way to the client.
  bool held_ = false;       // By the engine.
  bool gone_ = false;
  bool ended_ = false;

  absl::Time last_token_;  // Engine thread only.
};

}  // namespace hocket

#endif  // HOCKET_SERVICE_CALL_H_
