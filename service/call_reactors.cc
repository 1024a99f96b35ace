#include "service/call_reactors.h"

#include <chrono>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "scheduler/admission_gate.h"
#include "service/answer.h"
#include "service/status.h"

namespace hocket {
namespace {

absl::Time DeadlineOf(const grpc::CallbackServerContext& context) {
  const std::chrono::system_clock::time_point deadline = context.deadline();
  if (deadline == std::chrono::system_clock::time_point::max()) return absl::InfiniteFuture();
  return absl::FromChrono(deadline);
}

// Clients take 8 KiB of metadata by default, base64 included.
constexpr size_t kMaxResumeTrailerBytes = 4096;

class StreamReactor final : public Call,
                            public grpc::ServerWriteReactor<v1::StreamGenerateResponse> {
 public:
  StreamReactor(const CallParts& parts, Caller caller, grpc::CallbackServerContext* context)
      : Call(parts, "StreamGenerate", /*streams=*/true, DeadlineOf(*context), std::move(caller)),
        context_(context) {}

  static StreamReactor* Start(const CallParts& parts, Caller caller,
                              grpc::CallbackServerContext* context,
                              const v1::GenerateRequest* request) {
    auto reactor = std::make_shared<StreamReactor>(parts, std::move(caller), context);
    reactor->self_ = reactor;
    // The request lives until OnDone, which waits for Finish, which waits for this.
    reactor->Call::Start(request->request_id(), [validator = parts.validator, request] {
      return validator->Generate(*request);
    });
    return reactor.get();
  }

  void OnWriteDone(bool ok) override {
    if (!ok) writable_ = false;  // The client is gone; OnCancel ends the request.
    WriteNext();
  }
  void OnCancel() override { ClientGone(); }
  void OnDone() override { self_.reset(); }

 protected:
  void Send(EventBatch batch, std::optional<absl::Status> end) override {
    messages_ = answer_.Messages(std::move(batch), context());
    next_ = 0;
    end_ = std::move(end);
    WriteNext();
  }

 private:
  // One write is in flight at a time, and Send comes only after the batch is sent, so what is used
  // here is used by one thread at a time.
  void WriteNext() {
    const bool more = writable_ && next_ < messages_.size();
    if (!more && !end_) return BatchSent();
    if (!more) return Finish(EndOf(*end_, context_));
    const v1::StreamGenerateResponse* message = &messages_[next_++];
    if (end_ && next_ == messages_.size()) {
      StartWriteAndFinish(message, grpc::WriteOptions(), EndOf(*end_, context_));
    } else {
      StartWrite(message);
    }
  }

  grpc::CallbackServerContext* const context_;
  std::shared_ptr<StreamReactor> self_;  // Until gRPC is done.
  StreamAnswer answer_;
  std::vector<v1::StreamGenerateResponse> messages_;
  size_t next_ = 0;
  bool writable_ = true;
  std::optional<absl::Status> end_;
};

template <typename Response>
class UnaryReactor final : public Call, public grpc::ServerUnaryReactor {
 public:
  using Fold = Response (*)(const EventBatch&, const AnswerContext&);

  UnaryReactor(const CallParts& parts, Caller caller, absl::string_view method,
               grpc::CallbackServerContext* context, Fold fold, Response* response)
      : Call(parts, method, /*streams=*/false, DeadlineOf(*context), std::move(caller)),
        context_(context),
        fold_(fold),
        response_(response) {}

  static grpc::ServerUnaryReactor* Start(const CallParts& parts, Caller caller,
                                         absl::string_view method,
                                         grpc::CallbackServerContext* context, Fold fold,
                                         Response* response, const std::string& request_id,
                                         std::function<absl::StatusOr<ValidRequest>()> validate) {
    auto reactor =
        std::make_shared<UnaryReactor>(parts, std::move(caller), method, context, fold, response);
    reactor->self_ = reactor;
    reactor->Call::Start(request_id, std::move(validate));
    return reactor.get();
  }

  void OnCancel() override { ClientGone(); }
  void OnDone() override { self_.reset(); }

 protected:
  void Send(EventBatch batch, std::optional<absl::Status> end) override {
    if (!end) return BatchSent();  // A unary call delivers once, at its end.
    if (end->ok()) *response_ = fold_(batch, context());
    if (const std::optional<v1::Resume> resume = ResumeOf(batch, context());
        resume && resume->ByteSizeLong() <= kMaxResumeTrailerBytes) {
      context_->AddTrailingMetadata("hocket-resume-bin", resume->SerializeAsString());
    }
    Finish(EndOf(*end, context_));
  }

 private:
  grpc::CallbackServerContext* const context_;
  const Fold fold_;
  Response* const response_;
  std::shared_ptr<UnaryReactor> self_;  // Until gRPC is done.
};

}  // namespace

grpc::Status EndOf(const absl::Status& status, grpc::CallbackServerContext* context) {
  if (const std::optional<absl::Duration> delay = RetryAfter(status)) {
    context->AddTrailingMetadata("retry-after-ms", absl::StrCat(absl::ToInt64Milliseconds(*delay)));
  }
  if (const std::optional<Refusal> refusal = RefusalOf(status)) {
    context->AddTrailingMetadata("refusal", std::string(RefusalName(*refusal)));
  }
  return ToGrpcStatus(status);
}

grpc::ServerWriteReactor<v1::StreamGenerateResponse>* StartStreamGenerate(
    const CallParts& parts, Caller caller, grpc::CallbackServerContext* context,
    const v1::GenerateRequest* request) {
  return StreamReactor::Start(parts, std::move(caller), context, request);
}

grpc::ServerUnaryReactor* StartGenerate(const CallParts& parts, Caller caller,
                                        grpc::CallbackServerContext* context,
                                        const v1::GenerateRequest* request,
                                        v1::GenerateResponse* response) {
  return UnaryReactor<v1::GenerateResponse>::Start(
      parts, std::move(caller), "Generate", context, &GenerateAnswer, response,
      request->request_id(),
      [validator = parts.validator, request] { return validator->Generate(*request); });
}

grpc::ServerUnaryReactor* StartScore(const CallParts& parts, Caller caller,
                                     grpc::CallbackServerContext* context,
                                     const v1::ScoreRequest* request, v1::ScoreResponse* response) {
  return UnaryReactor<v1::ScoreResponse>::Start(
      parts, std::move(caller), "Score", context, &ScoreAnswer, response, request->request_id(),
      [validator = parts.validator, request] { return validator->Score(*request); });
}

grpc::ServerUnaryReactor* StartEmbed(const CallParts& parts, Caller caller,
                                     grpc::CallbackServerContext* context,
                                     const v1::EmbedRequest* request, v1::EmbedResponse* response) {
  return UnaryReactor<v1::EmbedResponse>::Start(
      parts, std::move(caller), "Embed", context, &EmbedAnswer, response, request->request_id(),
      [validator = parts.validator, request] { return validator->Embed(*request); });
}

}  // namespace hocket
