// A service of one method whose messages we read, on a real server with real clients.
#include "service/incoming_message.h"

#include <grpcpp/generic/generic_stub.h>
#include <grpcpp/grpcpp.h>
#include <grpcpp/impl/service_type.h>
#include <gtest/gtest.h>

#include <atomic>
#include <future>
#include <memory>
#include <mutex>
#include <string>
#include <thread>
#include <vector>

#include "absl/time/clock.h"
#include "hocket/v1/hocket.grpc.pb.h"
#include "service/error_reasons.h"

namespace hocket {
namespace {

constexpr char kMethod[] = "/test.Echo/Echo";
constexpr absl::Duration kLimit = absl::Milliseconds(400);

// Waits until the call is cancelled.
class HoldingReactor final : public grpc::ServerUnaryReactor {
 public:
  void OnCancel() override { Finish(grpc::Status::CANCELLED); }
  void OnDone() override { delete this; }
};

// Answers with the request's id, or with the reason of an error as the message; holds "hold".
class EchoService final : public grpc::Service {
 public:
  EchoService(ReceiveWatch* watch, LeftCalls* left_calls) {
    using Request = Received<v1::CancelRequest>;
    const auto echo = [this, left_calls](grpc::CallbackServerContext* context,
                                         const Request* request, v1::CancelRequest* response) {
      ++answered;
      {
        std::lock_guard lock(mutex);
        if (peer.empty()) left_calls->Open(context->peer());
        peer = context->peer();
      }
      *response = request->message;
      const bool hold = request->message.request_id() == "hold";
      const grpc::Status status =
          request->status.ok() ? grpc::Status::OK
                               : grpc::Status(grpc::StatusCode::ABORTED,
                                              std::string(RowOf(*ReasonOf(request->status)).name));
      if (!hold) return Finished(context, status);
      grpc::ServerUnaryReactor* holding = std::make_unique<HoldingReactor>().release();
      return holding;  // It deletes itself.
    };
    using Handler = grpc::internal::CallbackUnaryHandler<Request, v1::CancelRequest>;
    auto handler = std::make_unique<ReceivingHandler<v1::CancelRequest>>(
        watch, left_calls, std::make_unique<Handler>(echo));
    using Method = grpc::internal::RpcServiceMethod;
    auto method = std::make_unique<Method>(kMethod, Method::BIDI_STREAMING, nullptr);
    AddMethod(method.release());
    MarkMethodCallback(0, handler.release());
  }

  std::atomic<int> answered = 0;
  std::mutex mutex;
  std::string peer;  // Guarded by mutex. Of the last call.

 private:
  static grpc::ServerUnaryReactor* Finished(grpc::CallbackServerContext* context,
                                            const grpc::Status& status) {
    grpc::ServerUnaryReactor* reactor = context->DefaultReactor();
    reactor->Finish(status);
    return reactor;
  }
};

class IncomingMessageTest : public testing::Test {
 protected:
  void SetUp() override {
    grpc::ServerBuilder builder;
    int port = 0;
    builder.AddListeningPort("127.0.0.1:0", grpc::InsecureServerCredentials(), &port);
    builder.RegisterService(&service_);
    server_ = builder.BuildAndStart();
    ASSERT_NE(server_, nullptr);
    stub_ = std::make_unique<grpc::GenericStub>(grpc::CreateChannel(
        "127.0.0.1:" + std::to_string(port), grpc::InsecureChannelCredentials()));
  }

  // Returns only if no call is left behind.
  void TearDown() override {
    server_->Shutdown();
    server_->Wait();
  }

  // One call, cancelled after `patience`.
  class Client : public grpc::ClientBidiReactor<grpc::ByteBuffer, grpc::ByteBuffer> {
   public:
    Client(grpc::GenericStub& stub, absl::Duration patience = absl::Seconds(30)) {
      context_.set_deadline(absl::ToChronoTime(absl::Now() + patience));
      stub.PrepareBidiStreamingCall(&context_, kMethod, {}, this);
    }
    void Open() {
      StartRead(&answer_);
      StartCall();
    }
    void Send(const std::string& id) {
      v1::CancelRequest request;
      request.set_request_id(id);
      const grpc::Slice slice(request.SerializeAsString());
      message_ = grpc::ByteBuffer(&slice, 1);
      StartWriteLast(&message_, grpc::WriteOptions());
    }
    void SendNothing() { StartWritesDone(); }
    void Cancel() { context_.TryCancel(); }
    void OnDone(const grpc::Status& status) override { done_.set_value(status); }
    grpc::Status End() { return done_.get_future().get(); }

   private:
    grpc::ClientContext context_;
    grpc::ByteBuffer message_, answer_;
    std::promise<grpc::Status> done_;
  };

  ReceiveWatch watch_{kLimit, &delivery_};
  DeliveryThread delivery_;
  LeftCalls left_calls_;
  EchoService service_{&watch_, &left_calls_};
  std::unique_ptr<grpc::Server> server_;
  std::unique_ptr<grpc::GenericStub> stub_;
};

TEST_F(IncomingMessageTest, WhatComesInTimeIsAnswered) {
  Client prompt(*stub_), late(*stub_);
  prompt.Open();
  prompt.Send("a");
  EXPECT_TRUE(prompt.End().ok());
  late.Open();
  absl::SleepFor(kLimit / 4);
  late.Send("b");
  EXPECT_TRUE(late.End().ok());
  EXPECT_EQ(watch_.given_up(), 0);
}

TEST_F(IncomingMessageTest, WhatDoesNotComeIsEndedWithTheReason) {
  Client silent(*stub_);
  const absl::Time begin = absl::Now();
  silent.Open();
  EXPECT_EQ(silent.End().error_message(), "SLOW_SENDER");
  EXPECT_GE(absl::Now() - begin, kLimit);
  // Counted once the client has been told.
  for (int i = 0; i < 1000 && watch_.given_up() == 0; ++i) absl::SleepFor(absl::Milliseconds(5));
  EXPECT_EQ(watch_.given_up(), 1);
}

TEST_F(IncomingMessageTest, ACallWithoutAMessageIsMalformed) {
  Client empty(*stub_);
  empty.Open();
  empty.SendNothing();
  EXPECT_EQ(empty.End().error_message(), "MALFORMED_MESSAGE");
}

TEST_F(IncomingMessageTest, ACallThatIsLeftBeforeItsMessageIsNotAnswered) {
  Client leaver(*stub_), hurried(*stub_, kLimit / 4);
  leaver.Open();
  hurried.Open();
  absl::SleepFor(kLimit / 4);
  leaver.Cancel();
  EXPECT_EQ(leaver.End().error_code(), grpc::StatusCode::CANCELLED);
  EXPECT_EQ(hurried.End().error_code(), grpc::StatusCode::DEADLINE_EXCEEDED);
  absl::SleepFor(2 * kLimit);
  EXPECT_EQ(service_.answered, 0);
  EXPECT_EQ(watch_.given_up(), 0);
}

TEST_F(IncomingMessageTest, WhoLeavesAfterAWhileIsCountedAndWhoLeavesAtOnceIsNot) {
  for (const absl::Duration patience : {LeftCalls::kWhile / 4, 2 * LeftCalls::kWhile}) {
    Client holder(*stub_);
    holder.Open();
    holder.Send("hold");
    absl::SleepFor(patience);
    holder.Cancel();
    EXPECT_EQ(holder.End().error_code(), grpc::StatusCode::CANCELLED);
  }
  const auto left = [this] {
    std::lock_guard lock(service_.mutex);
    return left_calls_.Of(service_.peer);
  };
  for (int i = 0; i < 1000 && left() == 0; ++i) absl::SleepFor(absl::Milliseconds(5));
  absl::SleepFor(absl::Milliseconds(50));
  EXPECT_EQ(left(), 1);
}

TEST_F(IncomingMessageTest, CallsThatAreCancelledAtAnyMomentLeaveNothing) {
  watch_.SetLimit(absl::Milliseconds(2));
  std::vector<std::thread> threads;
  for (int thread = 0; thread < 4; ++thread) {
    threads.emplace_back([this, thread] {
      for (int i = 0; i < 150; ++i) {
        Client client(*stub_);
        client.Open();
        if (i % 3 != 0) client.Send(i % 3 == 1 ? "hold" : "a");
        absl::SleepFor(absl::Microseconds((i * 37 + thread * 101) % 3000));
        client.Cancel();
        client.End();
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
}

}  // namespace
}  // namespace hocket
