#include "service/reflection_limit.h"

#include <grpcpp/server_context.h>

#include <memory>
#include <mutex>

#include "absl/strings/match.h"

namespace hocket {
namespace {

using grpc::experimental::InterceptionHookPoints;

// A call while its next message is awaited; the watch may hold it for longer than gRPC the call.
class SilentCall final : public AwaitedMessage {
 public:
  explicit SilentCall(grpc::ServerContextBase* context) : context_(context) {}

  bool GiveUp(absl::Duration) override {
    std::lock_guard lock(mutex_);
    if (context_ == nullptr) return false;
    context_->TryCancel();
    return true;
  }

  void Forget() {
    std::lock_guard lock(mutex_);
    context_ = nullptr;
  }

 private:
  std::mutex mutex_;
  grpc::ServerContextBase* context_;  // Guarded by mutex_. Null once the call has ended.
};

class MessageTimer final : public grpc::experimental::Interceptor {
 public:
  MessageTimer(grpc::ServerContextBase* context, ReceiveWatch* watch)
      : watch_(*watch), call_(std::make_shared<SilentCall>(context)), number_(watch->Add(call_)) {}

  ~MessageTimer() override {
    watch_.Remove(number_);
    call_->Forget();
  }

  // For one call, never by two threads at a time.
  void Intercept(grpc::experimental::InterceptorBatchMethods* batch) override {
    if (batch->QueryInterceptionHookPoint(InterceptionHookPoints::POST_RECV_MESSAGE)) {
      watch_.Remove(number_);
      number_ = watch_.Add(call_);
    }
    batch->Proceed();
  }

 private:
  ReceiveWatch& watch_;
  const std::shared_ptr<SilentCall> call_;
  int64_t number_;
};

}  // namespace

grpc::experimental::Interceptor* ReflectionLimit::CreateServerInterceptor(
    grpc::experimental::ServerRpcInfo* call) {
  if (!absl::StartsWith(call->method(), "/grpc.reflection.")) return nullptr;
  // gRPC owns it.
  return std::make_unique<MessageTimer>(call->server_context(), watch_).release();
}

}  // namespace hocket
