// Reads the one message of a call ourselves. gRPC shows a call to its service when the message is
// whole, and until then nobody can end the call; here a call begins with its headers, and
// ReceiveWatch bounds how long its message may take. To gRPC the methods are streams in both
// directions, which are the same on the wire. Runs on gRPC's threads.
#ifndef HOCKET_SERVICE_INCOMING_MESSAGE_H_
#define HOCKET_SERVICE_INCOMING_MESSAGE_H_

#include <grpcpp/impl/call.h>
#include <grpcpp/impl/call_op_set.h>
#include <grpcpp/impl/rpc_service_method.h>
#include <grpcpp/support/byte_buffer.h>
#include <grpcpp/support/callback_common.h>

#include <atomic>
#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <utility>

#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "service/left_calls.h"
#include "service/receive_watch.h"
#include "service/received.h"

namespace hocket {

// Lives from a call's headers to its end.
class IncomingMessage final : public AwaitedMessage,
                              public std::enable_shared_from_this<IncomingMessage> {
 public:
  using ArrivedCall = grpc::internal::MethodHandler::HandlerParameter;
  // Answers the call: with the message, which it may take, or MALFORMED_MESSAGE where the client
  // sent none, or SLOW_SENDER.
  using Answer =
      std::function<void(const ArrivedCall& call, absl::StatusOr<grpc::ByteBuffer*> message)>;

  // `answer` is called at most once: not for a call that the client or gRPC ended before.
  // `left_calls` hears of it where its client left it.
  static void Await(const ArrivedCall& call, ReceiveWatch* watch, LeftCalls* left_calls,
                    Answer answer);

  IncomingMessage(const ArrivedCall& call, ReceiveWatch* watch, LeftCalls* left_calls,
                  Answer answer);
  ~IncomingMessage() override;

  bool GiveUp(absl::Duration limit) override;

 private:
  // Tells gRPC that it may forget the call.
  struct CallEnd {
    std::function<void()> tell;
    ~CallEnd() { tell(); }
  };

  void Read();
  void OnRead(bool ok);
  void PassOn(absl::StatusOr<grpc::ByteBuffer*> message);

  const CallEnd end_;  // Goes last.
  grpc::internal::Call* const call_;
  grpc::ServerContextBase* const context_;
  ReceiveWatch* const watch_;
  LeftCalls* const left_calls_;
  const Answer answer_;
  const absl::Time begin_;
  const std::string peer_;  // gRPC forgets it before the end.
  std::atomic<bool> came_ = false;
  int64_t number_ = 0;  // Of the watch.
  grpc::ByteBuffer message_;
  grpc::internal::CallOpSet<grpc::internal::CallOpRecvMessage<grpc::ByteBuffer>> read_;
  grpc::internal::CallbackWithSuccessTag read_done_;
  std::shared_ptr<IncomingMessage> self_;      // Until the read is done.
  std::atomic<bool> no_longer_waits_ = false;  // Whoever sets it decides what comes of the call.
};

// What gRPC is to call in place of `answer`, its own handler of a method that takes a
// Received<Request>.
template <typename Request>
class ReceivingHandler final : public grpc::internal::MethodHandler {
 public:
  ReceivingHandler(ReceiveWatch* watch, LeftCalls* left_calls,
                   std::unique_ptr<grpc::internal::MethodHandler> answer)
      : watch_(watch), left_calls_(left_calls), answer_(std::move(answer)) {}

  void RunHandler(const HandlerParameter& arrived) override {
    IncomingMessage::Await(arrived, watch_, left_calls_,
                           [answer = answer_.get()](const HandlerParameter& call,
                                                    absl::StatusOr<grpc::ByteBuffer*> message) {
                             grpc::Status made;
                             void* holder = nullptr;
                             // Where gRPC keeps requests, and an empty one.
                             auto* request = static_cast<Received<Request>*>(
                                 answer->Deserialize(call.call->call(), nullptr, &made, &holder));
                             request->status = message.ok() ? Receive(*message, &request->message)
                                                            : message.status();
                             answer->RunHandler({call.call, call.server_context, request, made,
                                                 holder, call.call_requester});
                           });
  }

 private:
  ReceiveWatch* const watch_;
  LeftCalls* const left_calls_;
  const std::unique_ptr<grpc::internal::MethodHandler> answer_;
};

// `Handler` is gRPC's for such a method, and made of `method`.
template <typename Request, typename Handler, typename Method>
std::unique_ptr<grpc::internal::MethodHandler> Receiving(ReceiveWatch* watch, LeftCalls* left_calls,
                                                         Method method) {
  return std::make_unique<ReceivingHandler<Request>>(watch, left_calls,
                                                     std::make_unique<Handler>(std::move(method)));
}

}  // namespace hocket

#endif  // HOCKET_SERVICE_INCOMING_MESSAGE_H_
