// Ends reflection calls whose clients say nothing: gRPC's reflection service is of the kind that
// holds a thread for each of its calls. Any thread.
#ifndef HOCKET_SERVICE_REFLECTION_LIMIT_H_
#define HOCKET_SERVICE_REFLECTION_LIMIT_H_

#include <grpcpp/support/server_interceptor.h>

#include "service/receive_watch.h"

namespace hocket {

// For ServerBuilder. Each message of a reflection call has the watch's time to come whole, from the
// one before or the call's headers; with none the call is cancelled.
class ReflectionLimit final : public grpc::experimental::ServerInterceptorFactoryInterface {
 public:
  explicit ReflectionLimit(ReceiveWatch* watch) : watch_(watch) {}  // Outlives all calls.

  // Null for calls of other services.
  grpc::experimental::Interceptor* CreateServerInterceptor(
      grpc::experimental::ServerRpcInfo* call) override;

 private:
  ReceiveWatch* const watch_;
};

}  // namespace hocket

#endif  // HOCKET_SERVICE_REFLECTION_LIMIT_H_
