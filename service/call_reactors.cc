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
#include "service/call.h"
#include "service/caller_limits.h"
#include "service/request_body.h"
#include "service/status.h"

namespace hocket {
namespace {

absl::Time DeadlineOf(const grpc::CallbackServerContext& context) {
  // context.deadline() has no room for times after 2262.
  const gpr_timespec deadline = gpr_convert_clock_type(context.raw_deadline(), GPR_CLOCK_REALTIME);
  if (gpr_time_cmp(deadline, gpr_inf_future(GPR_CLOCK_REALTIME)) == 0) {
    return absl::InfiniteFuture();
  }
  return absl::FromUnixSeconds(deadline.tv_sec) + absl::Nanoseconds(deadline.tv_nsec);
}

// Clients take 8 KiB of metadata by default, base64 included.
constexpr size_t kMaxResumeTrailerBytes = 4096;

// Empty where there is none. More than one is no traceparent either, and is told joined.
std::string TraceparentOf(const grpc::CallbackServerContext& context) {
  const auto [first, last] = context.client_metadata().equal_range("traceparent");
  std::string joined;
  for (auto it = first; it != last; ++it) {
    absl::StrAppend(&joined, joined.empty() ? "" : ",",
                    absl::string_view(it->second.data(), it->second.size()));
  }
  return joined;
}

CallOrigin OriginOf(absl::string_view method, bool streams, Caller caller,
                    const grpc::CallbackServerContext& context) {
  return {.method = method,
          .streams = streams,
          .deadline = DeadlineOf(context),
          .caller = std::move(caller),
          .peer = context.peer(),
          .traceparent = TraceparentOf(context)};
}

// `validate` may refer to the request's message, which lives until OnDone; that waits for Finish,
// which waits for it.
template <typename RequestProto>
CallRequest AskFor(const CallParts& parts, const RequestProto* request,
                   Session::Validate validate) {
  CallRequest asked;
  asked.request_id = request->request_id();
  if (!asked.request_id.empty()) asked.body = BodyOf(*request, parts.validator->model_name());
  asked.validate = std::move(validate);
  return asked;
}

CallRequest AskToGenerate(const CallParts& parts, const Caller& caller,
                          const v1::GenerateRequest* request) {
  CallRequest asked = AskFor(parts, request, [validator = parts.validator, caller, request] {
    return WithinLimits(caller, *request, validator->Generate(*request));
  });
  asked.resume = ReadResume(request->resume());
  return asked;
}

class StreamReactor final : public Call,
                            public grpc::ServerWriteReactor<v1::StreamGenerateResponse> {
 public:
  StreamReactor(const CallParts& parts, CallOrigin origin, grpc::CallbackServerContext* context)
      : Call(parts, std::move(origin)), context_(context) {}

  static StreamReactor* Start(const CallParts& parts, CallOrigin origin,
                              grpc::CallbackServerContext* context, CallRequest request) {
    auto reactor = std::make_shared<StreamReactor>(parts, std::move(origin), context);
    reactor->self_ = reactor;
    reactor->Call::Start(std::move(request));
    return reactor.get();
  }

  void OnWriteDone(bool ok) override {
    WriteEnds();
    if (!ok) writable_ = false;  // The client is gone; OnCancel tells the session.
    WriteNext();
  }
  void OnCancel() override { ClientGone(); }
  void OnDone() override {
    Done();
    self_.reset();
  }

 protected:
  void Send(EventBatch batch, std::optional<absl::Status> end) override {
    if (end) ReportLoad(batch, context_);
    messages_ = answer_.Messages(std::move(batch), context());
    next_ = 0;
    end_ = std::move(end);
    WriteNext();
  }
  void Abort() override { context_->TryCancel(); }

 private:
  // One write is in flight at a time, and Send comes only after the batch is sent, so what is used
  // here is used by one thread at a time.
  void WriteNext() {
    const bool more = writable_ && next_ < messages_.size() && (end_ || !slow());
    if (!more && !end_) return BatchSent();
    WriteBegins();
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

  UnaryReactor(const CallParts& parts, CallOrigin origin, grpc::CallbackServerContext* context,
               Fold fold, Response* response)
      : Call(parts, std::move(origin)), context_(context), fold_(fold), response_(response) {}

  static grpc::ServerUnaryReactor* Start(const CallParts& parts, CallOrigin origin,
                                         grpc::CallbackServerContext* context, Fold fold,
                                         Response* response, CallRequest request) {
    auto reactor =
        std::make_shared<UnaryReactor>(parts, std::move(origin), context, fold, response);
    reactor->self_ = reactor;
    reactor->Call::Start(std::move(request));
    return reactor.get();
  }

  void OnCancel() override { ClientGone(); }
  void OnDone() override {
    Done();
    self_.reset();
  }

 protected:
  void Send(EventBatch batch, std::optional<absl::Status> end) override {
    if (!end) return BatchSent();  // A unary call delivers once, at its end.
    ReportLoad(batch, context_);
    if (end->ok()) *response_ = fold_(batch, context());
    if (const std::optional<v1::Resume> resume = ResumeOf(batch, context());
        resume && resume->ByteSizeLong() <= kMaxResumeTrailerBytes) {
      context_->AddTrailingMetadata("hocket-resume-bin", resume->SerializeAsString());
    }
    WriteBegins();
    Finish(EndOf(*end, context_));
  }
  void Abort() override { context_->TryCancel(); }

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
  CallRequest asked = AskToGenerate(parts, caller, request);
  return StreamReactor::Start(
      parts, OriginOf("StreamGenerate", /*streams=*/true, std::move(caller), *context), context,
      std::move(asked));
}

grpc::ServerUnaryReactor* StartGenerate(const CallParts& parts, Caller caller,
                                        grpc::CallbackServerContext* context,
                                        const v1::GenerateRequest* request,
                                        v1::GenerateResponse* response) {
  CallRequest asked = AskToGenerate(parts, caller, request);
  return UnaryReactor<v1::GenerateResponse>::Start(
      parts, OriginOf("Generate", /*streams=*/false, std::move(caller), *context), context,
      &GenerateAnswer, response, std::move(asked));
}

grpc::ServerUnaryReactor* StartScore(const CallParts& parts, Caller caller,
                                     grpc::CallbackServerContext* context,
                                     const v1::ScoreRequest* request, v1::ScoreResponse* response) {
  CallRequest asked = AskFor(parts, request, [validator = parts.validator, caller, request] {
    return WithinLimits(caller, validator->Score(*request));
  });
  return UnaryReactor<v1::ScoreResponse>::Start(
      parts, OriginOf("Score", /*streams=*/false, std::move(caller), *context), context,
      &ScoreAnswer, response, std::move(asked));
}

grpc::ServerUnaryReactor* StartEmbed(const CallParts& parts, Caller caller,
                                     grpc::CallbackServerContext* context,
                                     const v1::EmbedRequest* request, v1::EmbedResponse* response) {
  CallRequest asked = AskFor(parts, request, [validator = parts.validator, caller, request] {
    return WithinLimits(caller, validator->Embed(*request));
  });
  return UnaryReactor<v1::EmbedResponse>::Start(
      parts, OriginOf("Embed", /*streams=*/false, std::move(caller), *context), context,
      &EmbedAnswer, response, std::move(asked));
}

}  // namespace hocket
