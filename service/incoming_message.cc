#include "service/incoming_message.h"

#include <grpc/grpc.h>
#include <grpcpp/server_context.h>

#include "absl/strings/str_cat.h"
#include "service/error_reasons.h"
#include "service/steady_clock.h"

namespace hocket {

IncomingMessage::IncomingMessage(const ArrivedCall& call, ReceiveWatch* watch,
                                 LeftCalls* left_calls, Answer answer)
    : end_{call.call_requester},
      call_(call.call),
      context_(call.server_context),
      watch_(watch),
      left_calls_(left_calls),
      answer_(std::move(answer)),
      begin_(SteadyNow()),
      peer_(context_->peer()) {}

IncomingMessage::~IncomingMessage() {
  if (came_ && SteadyNow() - begin_ >= LeftCalls::kWhile && context_->IsCancelled()) {
    left_calls_->Count(peer_);
  }
}

void IncomingMessage::Await(const ArrivedCall& call, ReceiveWatch* watch, LeftCalls* left_calls,
                            Answer answer) {
  std::make_shared<IncomingMessage>(call, watch, left_calls, std::move(answer))->Read();
}

void IncomingMessage::Read() {
  self_ = shared_from_this();
  number_ = watch_->Add(self_);
  // As gRPC runs handlers: at once, on the thread that the message came to.
  read_done_.Set(
      call_->call(), [this](bool ok) { OnRead(ok); }, &read_, /*can_inline=*/true);
  read_.set_core_cq_tag(&read_done_);
  read_.RecvMessage(&message_);
  call_->PerformOps(&read_);
}

void IncomingMessage::OnRead(bool ok) {
  const std::shared_ptr<IncomingMessage> self = std::move(self_);
  watch_->Remove(number_);
  if (no_longer_waits_.exchange(true)) return;
  came_ = ok;
  if (ok) return PassOn(&message_);
  // Cancelled, reset, past its deadline or too large: gRPC has told the client already.
  if (grpc_call_failed_before_recv_message(call_->call()) != 0) return;
  PassOn(ReasonError(ErrorReason::kMalformedMessage, "the call has no message"));
}

bool IncomingMessage::GiveUp(absl::Duration limit) {
  if (no_longer_waits_.exchange(true)) return false;
  PassOn(ReasonError(ErrorReason::kSlowSender,
                     absl::StrCat("the message was not whole after ", absl::FormatDuration(limit),
                                  ", as long as it may take")));
  return true;
}

void IncomingMessage::PassOn(absl::StatusOr<grpc::ByteBuffer*> message) {
  // gRPC's handler says with the last copy of this that it is done with the call.
  const auto keep = [self = shared_from_this()] {};
  answer_({call_, context_, nullptr, grpc::Status::OK, nullptr, keep}, std::move(message));
}

}  // namespace hocket
