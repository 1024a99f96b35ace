#include "service/call.h"

#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "service/engine_errors.h"
#include "service/error_reasons.h"
#include "service/field_checks.h"
#include "service/request_log.h"
#include "service/session_registry.h"

namespace hocket {

Call::Call(const CallParts& parts, CallOrigin origin)
    : parts_(parts), origin_(std::move(origin)), received_(absl::Now()) {}

void Call::Start(CallRequest request) {
  request_ = std::move(request);
  request_id_ = request_.request_id;
  parts_.sessions->writes().Add(shared_from_this());
  absl::Status status = CheckRequestId(request_id_);
  status.Update(request_.resume.status());
  if (!status.ok()) return Refuse(std::move(status));
  FindSession();
}

void Call::FindSession() {
  const bool named = !request_.request_id.empty();
  while (true) {
    if (!named) request_id_ = MakeRequestId();
    const SessionKey key{.tenant = origin_.caller.tenant, .request_id = request_id_};
    auto [session, made] = parts_.sessions->FindOrAdd(key, [&] {
      return std::make_shared<Session>(parts_,
                                       Session::Origin{.key = key,
                                                       .named = named,
                                                       .method = origin_.method,
                                                       .caller = origin_.caller,
                                                       .body = request_.body,
                                                       .traceparent = origin_.traceparent},
                                       Attachment{.reader = shared_from_this(),
                                                  .streams = origin_.streams,
                                                  .deadline = origin_.deadline,
                                                  .resume = *request_.resume});
    });
    if (!made && !named) continue;  // An id that was made twice.
    if (!made) return Attach(session, /*text_ends_sought=*/false);
    Use(session);
    return session->Prepare(std::move(request_.validate));
  }
}

void Call::Attach(const std::shared_ptr<Session>& session, bool text_ends_sought) {
  Use(session);
  const absl::StatusOr<Session::Attached> attached =
      session->Attach(request_.body, {.reader = shared_from_this(),
                                      .streams = origin_.streams,
                                      .deadline = origin_.deadline,
                                      .resume = *request_.resume});
  if (!attached.ok()) return Refuse(attached.status());
  switch (*attached) {
    case Session::Attached::kReleased:
      return FindSession();
    case Session::Attached::kNeedsTextEnd:
      if (!text_ends_sought) return SeekTextEnds(session);
      return Refuse(FieldError("resume", "lies within tokens that were generated at once"));
    case Session::Attached::kYes:
      break;
  }
  std::lock_guard lock(mutex_);
  if (gone_) session->Leave(this);
}

// Where a text ends within tokens that came at once takes a while to find.
void Call::SeekTextEnds(const std::shared_ptr<Session>& session) {
  auto self = std::static_pointer_cast<Call>(shared_from_this());
  const bool taken = parts_.text_pool->TrySchedule([self, session] {
    session->FindTextEnds();
    self->Attach(session, /*text_ends_sought=*/true);
  });
  if (taken) return;
  Refuse(TextPool::Full());
}

void Call::Use(std::shared_ptr<Session> session) {
  std::lock_guard lock(mutex_);
  session_ = std::move(session);
}

void Call::Refuse(absl::Status status) {
  {
    std::lock_guard lock(mutex_);
    refused_ = std::move(status);
    session_ = nullptr;
  }
  Wake();
}

void Call::ClientGone() {
  std::lock_guard lock(mutex_);
  gone_ = true;
  if (session_ != nullptr) session_->Leave(this);
}

void Call::Wake() {
  if (!scheduled_.exchange(true)) parts_.delivery->Schedule(shared_from_this());
}

void Call::Deliver() {
  // Before the look at sending_: whoever ends a batch in between schedules again.
  scheduled_ = false;
  if (sending_ || ended_) return;
  std::shared_ptr<Session> session;
  EventBatch batch;
  {
    std::lock_guard lock(mutex_);
    session = session_;
    batch.refused = refused_;
  }
  if (!batch.refused && session != nullptr) batch = session->Read(this);
  if (batch.empty()) return;
  if (session != nullptr) context_ = session->context();
  if (context_ == nullptr) context_ = std::make_shared<const AnswerContext>();
  sending_ = true;
  if (parts_.log_prompts) texts_.Add(batch);
  std::optional<absl::Status> end;
  if (batch.ends()) {
    ended_ = true;
    end = EndStatus(batch);
    parts_.metrics->CountRequest(origin_.method, *end);
    Log(batch, *end, session.get());
    Use(nullptr);  // A client that takes its end slowly does not hold all before it.
  }
  Send(std::move(batch), std::move(end));
}

void Call::BatchSent() {
  sending_ = false;
  Wake();
}

absl::Status Call::EndStatus(const EventBatch& batch) const {
  if (slow_) {
    return ReasonError(ErrorReason::kSlowReader, "the client took too long to read what was sent");
  }
  if (!batch.finished) return batch.refused.value_or(absl::OkStatus());
  const auto& spec = context_->request.spec;
  return EndError(*batch.finished, spec != nullptr && spec->grammar != nullptr);
}

void Call::Log(const EventBatch& batch, const absl::Status& status, const Session* session) const {
  RequestRecord record;
  record.request_id = request_id_;
  record.method = origin_.method;
  record.model = parts_.validator->model_name();
  record.tenant = origin_.caller.tenant;
  record.key_name = origin_.caller.key_name;
  record.peer = origin_.peer;
  record.trace = ParseTraceparent(origin_.traceparent);
  if (!record.trace && !origin_.traceparent.empty() && parts_.server_metrics != nullptr) {
    parts_.server_metrics->CountInvalidTraceparent();
  }
  record.status = status;
  record.finished = batch.finished;
  const std::optional<absl::Time> first_token =
      session == nullptr ? std::nullopt : session->first_token();
  if (first_token && *first_token >= received_) record.first_token = *first_token - received_;
  record.total = absl::Now() - received_;
  if (parts_.log_prompts) texts_.Put(*context_, record);
  LogRequest(record);
}

void Call::ReportLoad(const EventBatch& batch, grpc::CallbackServerContext* context) const {
  if (parts_.load == nullptr) return;
  std::optional<Usage> usage;
  if (batch.finished) usage = batch.finished->usage;
  parts_.load->Record(context, usage);
}

void Call::WriteBegins() { waits_since_nanos_ = absl::ToUnixNanos(absl::Now()); }
void Call::WriteEnds() { waits_since_nanos_ = 0; }
void Call::Done() { parts_.sessions->writes().Remove(this); }

absl::Time Call::WaitsSince() const {
  const int64_t since = waits_since_nanos_;
  return since == 0 ? absl::InfiniteFuture() : absl::FromUnixNanos(since);
}

void Call::EndSlowReader(bool for_good) {
  if (!slow_.exchange(true)) {
    parts_.metrics->CountSlowReader();
    ClientGone();
  }
  // What is on its way cannot be taken back; with a call's end on its way, nothing can come after
  // it.
  if (for_good || ended_) Abort();
}

}  // namespace hocket
