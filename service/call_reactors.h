// Calls that the engine serves, as gRPC reactors. Each owns itself until gRPC is done with it. Made
// on gRPC's threads by HocketService.
#ifndef HOCKET_SERVICE_CALL_REACTORS_H_
#define HOCKET_SERVICE_CALL_REACTORS_H_

#include <grpcpp/server_context.h>
#include <grpcpp/support/server_callback.h>

#include "hocket/v1/hocket.pb.h"
#include "service/call_parts.h"

namespace hocket {

// What to call Finish with, at once: sets the trailers that belong to the status.
grpc::Status EndOf(const absl::Status& status, grpc::CallbackServerContext* context);

// A stream that ends before it begins.
template <typename Response>
class RefusedStream final : public grpc::ServerWriteReactor<Response> {
 public:
  RefusedStream(const absl::Status& status, grpc::CallbackServerContext* context) {
    this->Finish(EndOf(status, context));
  }
  void OnDone() override { delete this; }
};

grpc::ServerWriteReactor<v1::StreamGenerateResponse>* StartStreamGenerate(
    const CallParts& parts, Caller caller, grpc::CallbackServerContext* context,
    const v1::GenerateRequest* request);

grpc::ServerUnaryReactor* StartGenerate(const CallParts& parts, Caller caller,
                                        grpc::CallbackServerContext* context,
                                        const v1::GenerateRequest* request,
                                        v1::GenerateResponse* response);

grpc::ServerUnaryReactor* StartScore(const CallParts& parts, Caller caller,
                                     grpc::CallbackServerContext* context,
                                     const v1::ScoreRequest* request, v1::ScoreResponse* response);

grpc::ServerUnaryReactor* StartEmbed(const CallParts& parts, Caller caller,
                                     grpc::CallbackServerContext* context,
                                     const v1::EmbedRequest* request, v1::EmbedResponse* response);

}  // namespace hocket

#endif  // HOCKET_SERVICE_CALL_REACTORS_H_
