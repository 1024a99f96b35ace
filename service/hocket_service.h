// The methods of hocket.v1.Hocket. Called by gRPC's threads; nothing here blocks.
#ifndef HOCKET_SERVICE_HOCKET_SERVICE_H_
#define HOCKET_SERVICE_HOCKET_SERVICE_H_

#include <functional>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "hocket/v1/hocket.grpc.pb.h"
#include "service/call_parts.h"
#include "service/caller.h"
#include "service/left_calls.h"
#include "service/receive_watch.h"

namespace hocket {

class HocketService final : public v1::Hocket::CallbackService {
 public:
  // Of each model served, at least one; the first is the default. `block_tokens`: KV positions in a
  // block, for GetModel. `receives` and `left_calls` outlive all calls.
  HocketService(std::vector<CallParts> models, int32_t block_tokens, ReceiveWatch* receives,
                LeftCalls* left_calls);

  grpc::ServerUnaryReactor* Generate(grpc::CallbackServerContext* context,
                                     const v1::GenerateRequest* request,
                                     v1::GenerateResponse* response) override;
  grpc::ServerWriteReactor<v1::StreamGenerateResponse>* StreamGenerate(
      grpc::CallbackServerContext* context, const v1::GenerateRequest* request) override;
  grpc::ServerUnaryReactor* Score(grpc::CallbackServerContext* context,
                                  const v1::ScoreRequest* request,
                                  v1::ScoreResponse* response) override;
  grpc::ServerUnaryReactor* Embed(grpc::CallbackServerContext* context,
                                  const v1::EmbedRequest* request,
                                  v1::EmbedResponse* response) override;
  grpc::ServerUnaryReactor* Tokenize(grpc::CallbackServerContext* context,
                                     const v1::TokenizeRequest* request,
                                     v1::TokenizeResponse* response) override;
  grpc::ServerUnaryReactor* Detokenize(grpc::CallbackServerContext* context,
                                       const v1::DetokenizeRequest* request,
                                       v1::DetokenizeResponse* response) override;
  grpc::ServerUnaryReactor* Cancel(grpc::CallbackServerContext* context,
                                   const v1::CancelRequest* request,
                                   v1::CancelResponse* response) override;
  grpc::ServerWriteReactor<v1::ListRequestsResponse>* ListRequests(
      grpc::CallbackServerContext* context, const v1::ListRequestsRequest* request) override;
  grpc::ServerUnaryReactor* ListModels(grpc::CallbackServerContext* context,
                                       const v1::ListModelsRequest* request,
                                       v1::ListModelsResponse* response) override;
  grpc::ServerUnaryReactor* GetModel(grpc::CallbackServerContext* context,
                                     const v1::GetModelRequest* request,
                                     v1::GetModelResponse* response) override;

 private:
  // Has ReceivingHandler read and parse the request, and refuses what is no good.
  template <typename Request, typename Response>
  void Serve(const char* name,
             grpc::ServerUnaryReactor* (HocketService::*method)(grpc::CallbackServerContext*,
                                                                const Request*, Response*));
  template <typename Request, typename Response>
  void Serve(const char* name, grpc::ServerWriteReactor<Response>* (HocketService::*method)(
                                   grpc::CallbackServerContext*, const Request*));

  struct ServedModel {
    CallParts parts;
    v1::Model described;
  };
  struct Admitted {
    const ServedModel* model;
    Caller caller;
  };

  // Who calls, and for which model. The errors of Authorizer, and NOT_FOUND for an unknown name.
  absl::StatusOr<Admitted> Admit(const grpc::CallbackServerContext& context, Scope scope,
                                 const std::string& model) const;
  absl::StatusOr<const ServedModel*> FindModel(const std::string& name) const;

  // Runs `work` on a text thread and ends the call with what it returns; `metrics` are the model's.
  grpc::ServerUnaryReactor* OnTextThread(absl::string_view method,
                                         grpc::CallbackServerContext* context, Metrics* metrics,
                                         std::function<absl::Status()> work);
  // `metrics`: of the model that the call was for; null: of none.
  grpc::ServerUnaryReactor* End(absl::string_view method, grpc::CallbackServerContext* context,
                                const absl::Status& status, Metrics* metrics = nullptr);
  template <typename Response>
  grpc::ServerWriteReactor<Response>* EndStream(absl::string_view method,
                                                grpc::CallbackServerContext* context,
                                                const absl::Status& status);

  const CallParts& shared() const { return models_.front().parts; }

  std::vector<ServedModel> models_;
  ReceiveWatch* const receives_;
  LeftCalls* const left_calls_;
};

}  // namespace hocket

#endif  // HOCKET_SERVICE_HOCKET_SERVICE_H_
