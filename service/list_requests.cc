#include "service/list_requests.h"

#include <algorithm>
#include <atomic>
#include <memory>
#include <optional>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "service/call_reactors.h"
#include "service/error_reasons.h"
#include "service/field_checks.h"
#include "service/session_registry.h"

namespace hocket {
namespace {

constexpr absl::Duration kMinInterval = absl::Milliseconds(100);
constexpr absl::Duration kMaxInterval = absl::Hours(1);
// How soon a drain is noticed between two lists.
constexpr absl::Duration kGlance = absl::Milliseconds(250);

absl::Duration IntervalOf(const v1::ListRequestsRequest& request) {
  return absl::Seconds(request.interval().seconds()) +
         absl::Nanoseconds(request.interval().nanos());
}

class ListReactor final : public grpc::ServerWriteReactor<v1::ListRequestsResponse>,
                          public std::enable_shared_from_this<ListReactor> {
 public:
  ListReactor(const CallParts& parts, grpc::CallbackServerContext* context,
              const v1::ListRequestsRequest& request)
      : parts_(parts), context_(context), request_(request) {}

  static ListReactor* Start(const CallParts& parts, grpc::CallbackServerContext* context,
                            const v1::ListRequestsRequest& request) {
    auto reactor = std::make_shared<ListReactor>(parts, context, request);
    reactor->self_ = reactor;
    reactor->next_ = absl::Now();
    reactor->ListOnTextThread();
    return reactor.get();
  }

  void OnWriteDone(bool ok) override {
    if (!ok || !request_.has_interval()) return End(absl::OkStatus());
    next_ = std::max(next_ + IntervalOf(request_), absl::Now());
    Wait();
  }
  void OnCancel() override { cancelled_ = true; }
  void OnDone() override { self_.reset(); }

 private:
  // One of these is under way at a time, so what they use is used by one thread at a time.
  void Wait() {
    const absl::Time now = absl::Now();
    if (cancelled_) return End(ReasonError(ErrorReason::kCancelled, "the client went away"));
    if (parts_.sessions->draining()) return End(absl::OkStatus());
    if (next_ <= now) return ListOnTextThread();
    parts_.delivery->RunAt(std::min(next_, now + kGlance),
                           [self = shared_from_this()] { self->Wait(); });
  }

  void ListOnTextThread() {
    const bool taken = parts_.text_pool->TrySchedule([self = shared_from_this()] {
      self->response_ = ListHeldRequests(self->request_, *self->parts_.sessions);
      self->StartWrite(&self->response_);
    });
    if (taken) return;
    End(TextPool::Full());
  }

  void End(const absl::Status& status) {
    parts_.server_metrics->CountCall("ListRequests", status);
    Finish(EndOf(status, context_));
  }

  const CallParts parts_;
  grpc::CallbackServerContext* const context_;
  const v1::ListRequestsRequest request_;
  std::shared_ptr<ListReactor> self_;  // Until gRPC is done.
  std::atomic<bool> cancelled_ = false;
  absl::Time next_;
  v1::ListRequestsResponse response_;
};

}  // namespace

absl::Status CheckListRequests(const v1::ListRequestsRequest& request) {
  if (!request.has_interval()) return absl::OkStatus();
  const google::protobuf::Duration& interval = request.interval();
  const bool well_formed = interval.seconds() >= 0 && interval.seconds() <= 3600 &&
                           interval.nanos() >= 0 && interval.nanos() < 1000000000;
  if (well_formed && IntervalOf(request) >= kMinInterval && IntervalOf(request) <= kMaxInterval) {
    return absl::OkStatus();
  }
  return FieldError("interval", absl::StrCat(interval.seconds(), " s and ", interval.nanos(),
                                             " ns is out of range [0.1 s, 1 h]"));
}

v1::ListRequestsResponse ListHeldRequests(const v1::ListRequestsRequest& request,
                                          const SessionRegistry& sessions) {
  std::vector<std::shared_ptr<Session>> held = sessions.All();
  std::erase_if(held, [&](const std::shared_ptr<Session>& session) {
    return (request.has_tenant() && session->key().tenant != request.tenant()) ||
           (request.has_model() && session->parts().validator->model_name() != request.model());
  });
  v1::ListRequestsResponse response;
  response.set_total(static_cast<int64_t>(held.size()));
  const auto listed = std::min(held.size(), static_cast<size_t>(kMaxListedRequests));
  std::partial_sort(held.begin(), held.begin() + static_cast<std::ptrdiff_t>(listed), held.end(),
                    [](const auto& a, const auto& b) { return a->received() < b->received(); });
  const absl::Time now = absl::Now();
  for (size_t i = 0; i < listed; ++i) *response.add_requests() = held[i]->Describe(now);
  return response;
}

grpc::ServerWriteReactor<v1::ListRequestsResponse>* StartListRequests(
    const CallParts& parts, grpc::CallbackServerContext* context,
    const v1::ListRequestsRequest& request) {
  return ListReactor::Start(parts, context, request);
}

}  // namespace hocket
