#include "service/health_service.h"

#include <memory>
#include <optional>
#include <utility>

#include "service/call_reactors.h"
#include "service/incoming_message.h"

namespace hocket {
namespace {

using grpc::health::v1::HealthCheckRequest;
using grpc::health::v1::HealthCheckResponse;

// In the order of the proto.
constexpr int kCheck = 0;
constexpr int kWatch = 1;

}  // namespace

// One client that hears of each change; of several while a message is on its way, the last.
class HealthService::Watcher final : public grpc::ServerWriteReactor<HealthCheckResponse> {
 public:
  Watcher(HealthService* service, std::string name) : service_(*service), name_(std::move(name)) {
    std::lock_guard lock(service_.mutex_);
    service_.watchers_[name_].insert(this);
    Tell(service_.StatusOf(name_));
  }

  // With the service's mutex held.
  void Tell(Status status) {
    if (ended_) return;
    if (writes_) {
      next_ = status;
      return;
    }
    if (status == told_) return;
    told_ = status;
    writes_ = true;
    message_.set_status(status);
    StartWrite(&message_);
  }

  void OnWriteDone(bool ok) override {
    std::lock_guard lock(service_.mutex_);
    writes_ = false;
    if (!ok) return End();
    if (next_) Tell(*std::exchange(next_, std::nullopt));
  }

  void OnCancel() override {
    std::lock_guard lock(service_.mutex_);
    End();
  }

  void OnDone() override { delete this; }

 private:
  void End() {
    if (std::exchange(ended_, true)) return;
    const auto found = service_.watchers_.find(name_);
    found->second.erase(this);
    if (found->second.empty()) service_.watchers_.erase(found);
    Finish(grpc::Status(grpc::StatusCode::CANCELLED, "the client went away, or the server ends"));
  }

  HealthService& service_;
  const std::string name_;
  // Guarded by the service's mutex:
  std::optional<Status> told_;
  std::optional<Status> next_;  // To be told when the write is done.
  bool writes_ = false;
  bool ended_ = false;
  HealthCheckResponse message_;
};

HealthService::HealthService(ReceiveWatch* receives, LeftCalls* left_calls) {
  using ReceivedCheck = Received<HealthCheckRequest>;
  const auto check = [this](grpc::CallbackServerContext* context, const ReceivedCheck* request,
                            HealthCheckResponse* response) {
    if (request->status.ok()) return Check(context, &request->message, response);
    grpc::ServerUnaryReactor* reactor = context->DefaultReactor();
    reactor->Finish(EndOf(request->status, context));
    return reactor;
  };
  const auto watch =
      [this](grpc::CallbackServerContext* context,
             const ReceivedCheck* request) -> grpc::ServerWriteReactor<HealthCheckResponse>* {
    if (request->status.ok()) return Watch(context, &request->message);
    // It deletes itself when gRPC is done with it.
    return std::make_unique<RefusedStream<HealthCheckResponse>>(request->status, context).release();
  };
  using CheckHandler = grpc::internal::CallbackUnaryHandler<ReceivedCheck, HealthCheckResponse>;
  using WatchHandler =
      grpc::internal::CallbackServerStreamingHandler<ReceivedCheck, HealthCheckResponse>;
  // gRPC owns them.
  MarkMethodStreamed(
      kCheck, Receiving<HealthCheckRequest, CheckHandler>(receives, left_calls, check).release());
  MarkMethodStreamed(
      kWatch, Receiving<HealthCheckRequest, WatchHandler>(receives, left_calls, watch).release());
}

HealthService::Status HealthService::StatusOf(const std::string& service) const {
  const auto found = statuses_.find(service);
  return found == statuses_.end() ? HealthCheckResponse::SERVICE_UNKNOWN : found->second;
}

void HealthService::SetServing(const std::string& service, bool serving) {
  std::lock_guard lock(mutex_);
  const Status status = serving ? HealthCheckResponse::SERVING : HealthCheckResponse::NOT_SERVING;
  statuses_[service] = status;
  const auto watched = watchers_.find(service);
  if (watched == watchers_.end()) return;
  for (Watcher* watcher : watched->second) watcher->Tell(status);
}

grpc::ServerUnaryReactor* HealthService::Check(grpc::CallbackServerContext* context,
                                               const HealthCheckRequest* request,
                                               HealthCheckResponse* response) {
  grpc::ServerUnaryReactor* reactor = context->DefaultReactor();
  {
    std::lock_guard lock(mutex_);
    response->set_status(StatusOf(request->service()));
  }
  const bool known = response->status() != HealthCheckResponse::SERVICE_UNKNOWN;
  reactor->Finish(known ? grpc::Status::OK
                        : grpc::Status(grpc::StatusCode::NOT_FOUND, "there is no such service"));
  return reactor;
}

grpc::ServerWriteReactor<HealthCheckResponse>* HealthService::Watch(
    grpc::CallbackServerContext* /*context*/, const HealthCheckRequest* request) {
  // It deletes itself when gRPC is done with it.
  return std::make_unique<Watcher>(this, request->service()).release();
}

}  // namespace hocket
