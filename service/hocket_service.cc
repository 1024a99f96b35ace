#include "service/hocket_service.h"

#include <memory>
#include <string>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "service/call_reactors.h"
#include "service/error_reasons.h"
#include "service/field_checks.h"
#include "service/incoming_message.h"
#include "service/list_requests.h"
#include "service/received.h"
#include "service/request_log.h"
#include "service/session_registry.h"

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

// The line of a call that no model had; one that went well without is told by the metrics alone.
void LogRefused(absl::string_view method, const grpc::CallbackServerContext& context,
                const absl::Status& status) {
  if (status.ok()) return;
  RequestRecord record;
  record.method = method;
  record.peer = context.peer();
  record.status = status;
  LogRequest(record);
}

int MethodIndex(const char* name) {
  const auto* service =
      google::protobuf::DescriptorPool::generated_pool()->FindServiceByName("hocket.v1.Hocket");
  return service->FindMethodByName(name)->index();
}

// Moves a result into the response, or passes the error on.
template <typename Response>
absl::Status Assign(absl::StatusOr<Response> from, Response* to) {
  if (!from.ok()) return from.status();
  *to = *std::move(from);
  return absl::OkStatus();
}

}  // namespace

HocketService::HocketService(std::vector<CallParts> models, int32_t block_tokens,
                             ReceiveWatch* receives, LeftCalls* left_calls)
    : receives_(receives), left_calls_(left_calls) {
  for (CallParts& parts : models) {
    v1::Model described = DescribeModel(parts.validator->model_name(), parts.validator->info(),
                                        parts.text->has_chat_template(), block_tokens);
    models_.push_back({std::move(parts), std::move(described)});
  }
  Serve("Generate", &HocketService::Generate);
  Serve("StreamGenerate", &HocketService::StreamGenerate);
  Serve("Score", &HocketService::Score);
  Serve("Embed", &HocketService::Embed);
  Serve("Tokenize", &HocketService::Tokenize);
  Serve("Detokenize", &HocketService::Detokenize);
  Serve("Cancel", &HocketService::Cancel);
  Serve("ListRequests", &HocketService::ListRequests);
  Serve("ListModels", &HocketService::ListModels);
  Serve("GetModel", &HocketService::GetModel);
}

template <typename Request, typename Response>
void HocketService::Serve(const char* name,
                          grpc::ServerUnaryReactor* (HocketService::*method)(
                              grpc::CallbackServerContext*, const Request*, Response*)) {
  const auto handle = [this, name, method](grpc::CallbackServerContext* context,
                                           const Received<Request>* request, Response* response) {
    return request->status.ok() ? (this->*method)(context, &request->message, response)
                                : End(name, context, request->status);
  };
  using Handler = grpc::internal::CallbackUnaryHandler<Received<Request>, Response>;
  // gRPC owns it.
  MarkMethodStreamed(MethodIndex(name),
                     Receiving<Request, Handler>(receives_, left_calls_, handle).release());
}

template <typename Request, typename Response>
void HocketService::Serve(const char* name,
                          grpc::ServerWriteReactor<Response>* (HocketService::*method)(
                              grpc::CallbackServerContext*, const Request*)) {
  const auto handle = [this, name, method](
                          grpc::CallbackServerContext* context,
                          const Received<Request>* request) -> grpc::ServerWriteReactor<Response>* {
    if (request->status.ok()) return (this->*method)(context, &request->message);
    return EndStream<Response>(name, context, request->status);
  };
  using Handler = grpc::internal::CallbackServerStreamingHandler<Received<Request>, Response>;
  // gRPC owns it.
  MarkMethodStreamed(MethodIndex(name),
                     Receiving<Request, Handler>(receives_, left_calls_, handle).release());
}

template <typename Response>
grpc::ServerWriteReactor<Response>* HocketService::EndStream(absl::string_view method,
                                                             grpc::CallbackServerContext* context,
                                                             const absl::Status& status) {
  shared().server_metrics->CountCall(method, status);
  LogRefused(method, *context, status);
  // It deletes itself when gRPC is done with it.
  return std::make_unique<RefusedStream<Response>>(status, context).release();
}

absl::StatusOr<const HocketService::ServedModel*> HocketService::FindModel(
    const std::string& name) const {
  if (name.empty()) return &models_.front();
  for (const ServedModel& model : models_) {
    if (model.described.name() == name) return &model;
  }
  const auto name_of = [](std::string* out, const ServedModel& model) {
    absl::StrAppend(out, "\"", model.described.name(), "\"");
  };
  const std::string asked = name.substr(0, 128);
  return WithMetadata(ReasonError(ErrorReason::kModelNotFound,
                                  absl::StrCat("model: there is no model \"", asked, "\"; served: ",
                                               absl::StrJoin(models_, ", ", name_of))),
                      kModelKey, asked);
}

absl::StatusOr<HocketService::Admitted> HocketService::Admit(
    const grpc::CallbackServerContext& context, Scope scope, const std::string& model) const {
  absl::StatusOr<Caller> caller = shared().authorizer->Authorize(context, scope);
  if (!caller.ok()) return caller.status();
  absl::StatusOr<const ServedModel*> found = FindModel(model);
  if (!found.ok()) return found.status();
  return Admitted{*found, *std::move(caller)};
}

grpc::ServerUnaryReactor* HocketService::Generate(grpc::CallbackServerContext* context,
                                                  const v1::GenerateRequest* request,
                                                  v1::GenerateResponse* response) {
  absl::StatusOr<Admitted> admitted = Admit(*context, Scope::kGenerate, request->model());
  if (!admitted.ok()) return End("Generate", context, admitted.status());
  return StartGenerate(admitted->model->parts, std::move(admitted->caller), context, request,
                       response);
}

grpc::ServerWriteReactor<v1::StreamGenerateResponse>* HocketService::StreamGenerate(
    grpc::CallbackServerContext* context, const v1::GenerateRequest* request) {
  absl::StatusOr<Admitted> admitted = Admit(*context, Scope::kGenerate, request->model());
  if (!admitted.ok()) {
    return EndStream<v1::StreamGenerateResponse>("StreamGenerate", context, admitted.status());
  }
  return StartStreamGenerate(admitted->model->parts, std::move(admitted->caller), context, request);
}

grpc::ServerUnaryReactor* HocketService::Score(grpc::CallbackServerContext* context,
                                               const v1::ScoreRequest* request,
                                               v1::ScoreResponse* response) {
  absl::StatusOr<Admitted> admitted = Admit(*context, Scope::kGenerate, request->model());
  if (!admitted.ok()) return End("Score", context, admitted.status());
  return StartScore(admitted->model->parts, std::move(admitted->caller), context, request,
                    response);
}

grpc::ServerUnaryReactor* HocketService::Embed(grpc::CallbackServerContext* context,
                                               const v1::EmbedRequest* request,
                                               v1::EmbedResponse* response) {
  absl::StatusOr<Admitted> admitted = Admit(*context, Scope::kGenerate, request->model());
  if (!admitted.ok()) return End("Embed", context, admitted.status());
  return StartEmbed(admitted->model->parts, std::move(admitted->caller), context, request,
                    response);
}

grpc::ServerUnaryReactor* HocketService::Tokenize(grpc::CallbackServerContext* context,
                                                  const v1::TokenizeRequest* request,
                                                  v1::TokenizeResponse* response) {
  absl::StatusOr<Admitted> admitted = Admit(*context, Scope::kGenerate, request->model());
  if (!admitted.ok()) return End("Tokenize", context, admitted.status());
  return OnTextThread("Tokenize", context, admitted->model->parts.metrics,
                      [validator = admitted->model->parts.validator, request, response] {
                        return Assign(validator->Tokenize(*request), response);
                      });
}

grpc::ServerUnaryReactor* HocketService::Detokenize(grpc::CallbackServerContext* context,
                                                    const v1::DetokenizeRequest* request,
                                                    v1::DetokenizeResponse* response) {
  absl::StatusOr<Admitted> admitted = Admit(*context, Scope::kGenerate, request->model());
  if (!admitted.ok()) return End("Detokenize", context, admitted.status());
  return OnTextThread("Detokenize", context, admitted->model->parts.metrics,
                      [validator = admitted->model->parts.validator, request, response] {
                        return Assign(validator->Detokenize(*request), response);
                      });
}

grpc::ServerUnaryReactor* HocketService::Cancel(grpc::CallbackServerContext* context,
                                                const v1::CancelRequest* request,
                                                v1::CancelResponse* response) {
  const Scope scope = request->has_tenant() ? Scope::kAdmin : Scope::kGenerate;
  absl::StatusOr<Caller> caller = shared().authorizer->Authorize(*context, scope);
  if (!caller.ok()) return End("Cancel", context, caller.status());
  if (request->request_id().empty()) {
    return End("Cancel", context, FieldError("request_id", "is empty"));
  }
  if (const absl::Status status = CheckRequestId(request->request_id()); !status.ok()) {
    return End("Cancel", context, status);
  }
  const SessionKey key{.tenant = request->has_tenant() ? request->tenant() : caller->tenant,
                       .request_id = request->request_id()};
  response->set_found(shared().sessions->Cancel(key));
  return End("Cancel", context, absl::OkStatus());
}

grpc::ServerWriteReactor<v1::ListRequestsResponse>* HocketService::ListRequests(
    grpc::CallbackServerContext* context, const v1::ListRequestsRequest* request) {
  absl::StatusOr<Caller> caller = shared().authorizer->Authorize(*context, Scope::kAdmin);
  absl::Status status = caller.status();
  if (status.ok()) status = CheckListRequests(*request);
  if (status.ok() && request->has_model()) status = FindModel(request->model()).status();
  if (status.ok()) return StartListRequests(shared(), context, *request);
  return EndStream<v1::ListRequestsResponse>("ListRequests", context, status);
}

grpc::ServerUnaryReactor* HocketService::ListModels(grpc::CallbackServerContext* context,
                                                    const v1::ListModelsRequest*,
                                                    v1::ListModelsResponse* response) {
  absl::StatusOr<Caller> caller = shared().authorizer->Authorize(*context, Scope::kGenerate);
  if (!caller.ok()) return End("ListModels", context, caller.status());
  for (const ServedModel& model : models_) *response->add_models() = model.described;
  return End("ListModels", context, absl::OkStatus());
}

grpc::ServerUnaryReactor* HocketService::GetModel(grpc::CallbackServerContext* context,
                                                  const v1::GetModelRequest* request,
                                                  v1::GetModelResponse* response) {
  absl::StatusOr<Admitted> admitted = Admit(*context, Scope::kGenerate, request->model());
  if (!admitted.ok()) return End("GetModel", context, admitted.status());
  *response->mutable_model() = admitted->model->described;
  return End("GetModel", context, absl::OkStatus(), admitted->model->parts.metrics);
}

grpc::ServerUnaryReactor* HocketService::OnTextThread(absl::string_view method,
                                                      grpc::CallbackServerContext* context,
                                                      Metrics* metrics,
                                                      std::function<absl::Status()> work) {
  grpc::ServerUnaryReactor* reactor = context->DefaultReactor();
  const bool taken =
      shared().text_pool->TrySchedule([reactor, context, method, metrics, work = std::move(work)] {
        const absl::Status status = work();
        metrics->CountRequest(method, status);
        reactor->Finish(EndOf(status, context));
      });
  if (taken) return reactor;
  return End(method, context, TextPool::Full(), metrics);
}

grpc::ServerUnaryReactor* HocketService::End(absl::string_view method,
                                             grpc::CallbackServerContext* context,
                                             const absl::Status& status, Metrics* metrics) {
  if (metrics == nullptr) {
    shared().server_metrics->CountCall(method, status);
  } else {
    metrics->CountRequest(method, status);
  }
  LogRefused(method, *context, status);
  grpc::ServerUnaryReactor* reactor = context->DefaultReactor();
  reactor->Finish(EndOf(status, context));
  return reactor;
}

}  // namespace hocket
