// Lists the requests that the server holds, for an operator: once, or again and again. The lists
// are made on a text thread, at times that the delivery thread keeps; nobody waits in between.
#ifndef HOCKET_SERVICE_LIST_REQUESTS_H_
#define HOCKET_SERVICE_LIST_REQUESTS_H_

#include <grpcpp/server_context.h>
#include <grpcpp/support/server_callback.h>

#include "absl/status/status.h"
#include "hocket/v1/hocket.pb.h"
#include "service/call_parts.h"

namespace hocket {

inline constexpr int kMaxListedRequests = 10000;

// INVALID_ARGUMENT naming the field.
absl::Status CheckListRequests(const v1::ListRequestsRequest& request);

// What is held now. Touches each request for a moment only.
v1::ListRequestsResponse ListHeldRequests(const v1::ListRequestsRequest& request,
                                          const SessionRegistry& sessions);

// The reactor owns itself until gRPC is done with it. `request` must have passed the check.
grpc::ServerWriteReactor<v1::ListRequestsResponse>* StartListRequests(
    const CallParts& parts, grpc::CallbackServerContext* context,
    const v1::ListRequestsRequest& request);

}  // namespace hocket

#endif  // HOCKET_SERVICE_LIST_REQUESTS_H_
