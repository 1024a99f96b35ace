// One call that reads a session: from the received message to the end of its answer. It starts the
// session or attaches to the one that has its id already, and carries what the session's log has
// for it to its client, one batch at a time, as fast as the client takes it. gRPC, a text thread,
// the session and the delivery thread hold it; it lives as long as any of them needs it.
#ifndef HOCKET_SERVICE_CALL_H_
#define HOCKET_SERVICE_CALL_H_

#include <atomic>
#include <cstdint>
#include <memory>
#include <mutex>
#include <optional>
#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "absl/time/time.h"
#include "service/answer.h"
#include "service/call_parts.h"
#include "service/caller.h"
#include "service/delivery_thread.h"
#include "service/event_log.h"
#include "service/logged_texts.h"
#include "service/session.h"
#include "service/write_watch.h"

namespace hocket {

// Who calls what, and how.
struct CallOrigin {
  absl::string_view method;  // A literal: it labels metrics and logs.
  bool streams = false;      // Batches are sent as they come; else one, when the request has ended.
  absl::Time deadline = absl::InfiniteFuture();
  Caller caller;
  std::string peer;         // As gRPC names it.
  std::string traceparent;  // As the metadata give it.
};

// What is asked for.
struct CallRequest {
  std::string request_id;  // The client's; empty: one is made.
  RequestBody body;        // Where there is an id.
  absl::StatusOr<ResumePoint> resume = ResumePoint();
  Session::Validate validate;  // Runs at most once, on a text thread.
};

class Call : public SessionReader,
             public Deliverable,
             public WatchedWriter,
             public std::enable_shared_from_this<Call> {
 public:
  Call(const CallParts& parts, CallOrigin origin);

  // Once. ALREADY_EXISTS goes to the client when another request has its id, RESOURCE_EXHAUSTED
  // when no text thread is to be had.
  void Start(CallRequest request);

  // The client went away or the deadline passed. Any thread.
  void ClientGone();

  void Wake() override;
  void Deliver() override;
  absl::Time WaitsSince() const override;
  void EndSlowReader(bool for_good) override;

 protected:
  // Sends one batch; `end` is the call's status when the batch ends it. The next comes only after
  // BatchSent. On the delivery thread, never under a lock.
  virtual void Send(EventBatch batch, std::optional<absl::Status> end) = 0;
  // Ends the call though its client takes nothing.
  virtual void Abort() = 0;
  void BatchSent();

  // Tells the client what the call cost and how loaded the server is, with the batch that ends it.
  void ReportLoad(const EventBatch& batch, grpc::CallbackServerContext* context) const;

  // Around each thing that the client has to take.
  void WriteBegins();
  void WriteEnds();
  bool slow() const { return slow_; }  // What was to be sent is not wanted any more.
  void Done();                         // gRPC is done with the call.

  const AnswerContext& context() const { return *context_; }  // Complete once Send is called.

 private:
  void FindSession();
  void Attach(const std::shared_ptr<Session>& session, bool text_ends_sought);
  void SeekTextEnds(const std::shared_ptr<Session>& session);
  void Use(std::shared_ptr<Session> session);
  void Refuse(absl::Status status);
  absl::Status EndStatus(const EventBatch& batch) const;
  void Log(const EventBatch& batch, const absl::Status& status, const Session* session) const;

  const CallParts parts_;
  const CallOrigin origin_;
  const absl::Time received_;
  CallRequest request_;  // Used until the session is found.
  std::string request_id_;

  // The delivery thread's, or whoever's turn it is to send:
  std::shared_ptr<const AnswerContext> context_;
  LoggedTexts texts_;  // Empty unless they are logged.
  bool ended_ = false;

  std::atomic<bool> scheduled_ = false;         // On the delivery thread's list.
  std::atomic<bool> sending_ = false;           // A batch is on its way to the client.
  std::atomic<bool> slow_ = false;              // The client took too long.
  std::atomic<int64_t> waits_since_nanos_ = 0;  // 0: for nothing.

  std::mutex mutex_;  // Taken before the session's.
  // Guarded by mutex_:
  std::shared_ptr<Session> session_;
  std::optional<absl::Status> refused_;
  bool gone_ = false;
};

}  // namespace hocket

#endif  // HOCKET_SERVICE_CALL_H_
