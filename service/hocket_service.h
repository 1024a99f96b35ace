// The methods of hocket.v1.Hocket. Called by gRPC's threads; nothing here blocks.
#ifndef HOCKET_SERVICE_HOCKET_SERVICE_H_
#define HOCKET_SERVICE_HOCKET_SERVICE_H_

#include <functional>

#include "hocket/v1/hocket.grpc.pb.h"
#include "service/call.h"

namespace hocket {

class HocketService final : public v1::Hocket::CallbackService {
 public:
  // `block_tokens`: KV positions in a block, for GetModel.
  HocketService(const CallParts& parts, int32_t block_tokens);

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
  grpc::ServerUnaryReactor* ListModels(grpc::CallbackServerContext* context,
                                       const v1::ListModelsRequest* request,
                                       v1::ListModelsResponse* response) override;
  grpc::ServerUnaryReactor* GetModel(grpc::CallbackServerContext* context,
                                     const v1::GetModelRequest* request,
                                     v1::GetModelResponse* response) override;

 private:
  // Runs `work` on a text thread and ends the call with what it returns.
  grpc::ServerUnaryReactor* OnTextThread(absl::string_view method,
                                         grpc::CallbackServerContext* context,
                                         std::function<absl::Status()> work);
  grpc::ServerUnaryReactor* End(absl::string_view method, grpc::CallbackServerContext* context,
                                const absl::Status& status);

  const CallParts parts_;
  v1::Model model_;
};

}  // namespace hocket

#endif  // HOCKET_SERVICE_HOCKET_SERVICE_H_
