#include "service/hocket_service.h"

#include <string>
#include <utility>

#include "service/call_reactors.h"
#include "service/field_checks.h"
#include "service/status.h"

namespace hocket {
namespace {

v1::Model DescribeModel(const std::string& name, const ModelInfo& info, bool chat_template,
                        int32_t block_tokens) {
  v1::Model model;
  model.set_name(name);
  model.set_architecture(info.architecture);
  model.set_precision(std::string(PrecisionName(info.precision)));
  model.set_kv_precision(std::string(KvPrecisionName(info.kv_precision)));
  model.set_parameters(info.parameters);
  model.set_weight_bytes(info.weight_bytes);
  model.set_arena_bytes(info.arena_bytes);
  model.set_layers(info.layers);
  model.set_hidden_size(info.hidden_size);
  model.set_vocabulary_size(info.vocabulary_size);
  model.set_max_context_tokens(info.max_context_tokens);
  model.mutable_end_of_text_tokens()->Add(info.end_of_text_tokens.begin(),
                                          info.end_of_text_tokens.end());
  model.set_chat_template(chat_template);
  v1::SamplingSettings& sampling = *model.mutable_default_sampling();
  sampling.set_temperature(info.default_sampling.temperature);
  sampling.set_top_k(info.default_sampling.top_k);
  sampling.set_top_p(info.default_sampling.top_p);
  sampling.set_min_p(info.default_sampling.min_p);
  sampling.set_typical_p(info.default_sampling.typical_p);
  sampling.set_repetition_penalty(info.default_sampling.repetition_penalty);
  model.set_kv_cache_bytes(info.kv_cache_bytes);
  model.set_kv_blocks(info.kv_blocks);
  model.set_kv_block_tokens(block_tokens);
  return model;
}

// Moves a result into the response, or passes the error on.
template <typename Response>
absl::Status Assign(absl::StatusOr<Response> from, Response* to) {
  if (!from.ok()) return from.status();
  *to = *std::move(from);
  return absl::OkStatus();
}

}  // namespace

HocketService::HocketService(const CallParts& parts, int32_t block_tokens)
    : parts_(parts),
      model_(DescribeModel(parts.validator->model_name(), parts.validator->info(),
                           parts.text->has_chat_template(), block_tokens)) {}

grpc::ServerUnaryReactor* HocketService::Generate(grpc::CallbackServerContext* context,
                                                  const v1::GenerateRequest* request,
                                                  v1::GenerateResponse* response) {
  return StartGenerate(parts_, context, request, response);
}

grpc::ServerWriteReactor<v1::StreamGenerateResponse>* HocketService::StreamGenerate(
    grpc::CallbackServerContext* context, const v1::GenerateRequest* request) {
  return StartStreamGenerate(parts_, context, request);
}

grpc::ServerUnaryReactor* HocketService::Score(grpc::CallbackServerContext* context,
                                               const v1::ScoreRequest* request,
                                               v1::ScoreResponse* response) {
  return StartScore(parts_, context, request, response);
}

grpc::ServerUnaryReactor* HocketService::Embed(grpc::CallbackServerContext* context,
                                               const v1::EmbedRequest* request,
                                               v1::EmbedResponse* response) {
  return StartEmbed(parts_, context, request, response);
}

grpc::ServerUnaryReactor* HocketService::Tokenize(grpc::CallbackServerContext* context,
                                                  const v1::TokenizeRequest* request,
                                                  v1::TokenizeResponse* response) {
  return OnTextThread("Tokenize", context, [validator = parts_.validator, request, response] {
    return Assign(validator->Tokenize(*request), response);
  });
}

grpc::ServerUnaryReactor* HocketService::Detokenize(grpc::CallbackServerContext* context,
                                                    const v1::DetokenizeRequest* request,
                                                    v1::DetokenizeResponse* response) {
  return OnTextThread("Detokenize", context, [validator = parts_.validator, request, response] {
    return Assign(validator->Detokenize(*request), response);
  });
}

grpc::ServerUnaryReactor* HocketService::Cancel(grpc::CallbackServerContext* context,
                                                const v1::CancelRequest* request,
                                                v1::CancelResponse* response) {
  if (request->request_id().empty()) {
    return End("Cancel", context, FieldError("request_id", "is empty"));
  }
  response->set_found(parts_.calls->Cancel(request->request_id()));
  return End("Cancel", context, absl::OkStatus());
}

grpc::ServerUnaryReactor* HocketService::ListModels(grpc::CallbackServerContext* context,
                                                    const v1::ListModelsRequest*,
                                                    v1::ListModelsResponse* response) {
  *response->add_models() = model_;
  return End("ListModels", context, absl::OkStatus());
}

grpc::ServerUnaryReactor* HocketService::GetModel(grpc::CallbackServerContext* context,
                                                  const v1::GetModelRequest* request,
                                                  v1::GetModelResponse* response) {
  const absl::Status status = parts_.validator->CheckModel(request->model());
  if (status.ok()) *response->mutable_model() = model_;
  return End("GetModel", context, status);
}

grpc::ServerUnaryReactor* HocketService::OnTextThread(absl::string_view method,
                                                      grpc::CallbackServerContext* context,
                                                      std::function<absl::Status()> work) {
  grpc::ServerUnaryReactor* reactor = context->DefaultReactor();
  const bool taken = parts_.text_pool->TrySchedule(
      [reactor, method, metrics = parts_.metrics, work = std::move(work)] {
        const absl::Status status = work();
        metrics->CountRequest(method, StatusLabel(status));
        reactor->Finish(ToGrpcStatus(status));
      });
  if (taken) return reactor;
  return End(method, context,
             WithRetryAfter(absl::ResourceExhaustedError("too many requests wait; try again later"),
                            kRetryDelay));
}

grpc::ServerUnaryReactor* HocketService::End(absl::string_view method,
                                             grpc::CallbackServerContext* context,
                                             const absl::Status& status) {
  parts_.metrics->CountRequest(method, StatusLabel(status));
  grpc::ServerUnaryReactor* reactor = context->DefaultReactor();
  reactor->Finish(EndOf(status, context));
  return reactor;
}

}  // namespace hocket
