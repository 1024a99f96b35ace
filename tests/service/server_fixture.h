// A server on free ports with a small model behind the real engine, and a client of it.
#ifndef HOCKET_TESTS_SERVICE_SERVER_FIXTURE_H_
#define HOCKET_TESTS_SERVICE_SERVER_FIXTURE_H_

#include <grpcpp/grpcpp.h>
#include <gtest/gtest.h>
#include <httplib.h>

#include <chrono>
#include <memory>
#include <string>
#include <thread>
#include <vector>

#include "absl/time/clock.h"
#include "hocket/v1/hocket.grpc.pb.h"
#include "service/server.h"
#include "small_model.h"

namespace hocket {

struct StreamResult {
  grpc::Status status;
  std::string retry_after_ms;
  std::vector<v1::StreamGenerateResponse> events;

  std::string refusal;

  std::string text() const {
    std::string text;
    for (const auto& event : events) text += event.delta().text();
    return text;
  }
};

inline v1::GenerateRequest RequestOf(const std::string& text, int32_t max_new_tokens,
                                     const std::string& id = "") {
  v1::GenerateRequest request;
  request.set_text(text);
  request.set_request_id(id);
  request.mutable_stopping()->set_max_new_tokens(max_new_tokens);
  return request;
}

class ServerTest : public testing::Test {
 protected:
  void SetUp() override { Start(1024); }

  void Start(int32_t max_waiting_requests) {
    server_.reset();
    ServerSettings settings;
    settings.port = 0;
    settings.metrics_port = 0;
    scheduler_.total_blocks = 512;
    scheduler_.max_running_sequences = 8;
    scheduler_.admission.max_waiting_requests = max_waiting_requests;
    scheduler_.max_context_tokens = 4096;
    auto server = Server::Start(settings, {Small(executor_)});
    ASSERT_TRUE(server.ok()) << server.status();
    server_ = *std::move(server);
    channel_ = grpc::CreateChannel("127.0.0.1:" + std::to_string(server_->port()),
                                   grpc::InsecureChannelCredentials());
    stub_ = v1::Hocket::NewStub(channel_);
  }

  ModelToHost Small(LetterExecutor& executor, const std::string& name = "") {
    return {.name = name,
            .model = {.info = SmallModelInfo(), .text = &text_, .executor = &executor},
            .scheduler = scheduler_,
            .trace_plans_file = ""};
  }

  StreamResult Stream(const v1::GenerateRequest& request,
                      absl::Duration deadline = absl::Seconds(30)) {
    grpc::ClientContext context;
    context.set_deadline(absl::ToChronoTime(absl::Now() + deadline));
    auto reader = stub_->StreamGenerate(&context, request);
    StreamResult result;
    v1::StreamGenerateResponse event;
    while (reader->Read(&event)) result.events.push_back(event);
    result.status = reader->Finish();
    const auto& trailers = context.GetServerTrailingMetadata();
    if (const auto it = trailers.find("retry-after-ms"); it != trailers.end()) {
      result.retry_after_ms = std::string(it->second.data(), it->second.size());
    }
    if (const auto it = trailers.find("refusal"); it != trailers.end()) {
      result.refusal = std::string(it->second.data(), it->second.size());
    }
    return result;
  }

  // Asks until the server takes nothing any more; returns how it says so.
  StreamResult StreamUntilRefused(const v1::GenerateRequest& request) {
    StreamResult late;
    do late = Stream(request);
    while (late.status.ok());
    return late;
  }

  // A stream that has begun, with what it has brought so far.
  struct Open {
    grpc::ClientContext context;
    std::unique_ptr<grpc::ClientReader<v1::StreamGenerateResponse>> reader;
    v1::StreamGenerateResponse event;

    // Reads to the end; `event` is then the last.
    grpc::Status Finish() {
      while (reader->Read(&event)) continue;
      return reader->Finish();
    }
  };
  std::unique_ptr<Open> OpenStream(const v1::GenerateRequest& request) {
    auto open = std::make_unique<Open>();
    open->reader = stub_->StreamGenerate(&open->context, request);
    EXPECT_TRUE(open->reader->Read(&open->event));
    return open;
  }

  std::string Page(const std::string& path) {
    httplib::Client client("127.0.0.1", server_->metrics_port());
    const auto response = client.Get(path.c_str());
    return response ? std::to_string(response->status) + " " + response->body : "no answer";
  }

  // The model's state is dropped with the plan after a sequence's end.
  void ExpectNoSequenceSoon() {
    for (int i = 0; i < 2000 && executor_.live_sequences > 0; ++i) {
      std::this_thread::sleep_for(std::chrono::milliseconds(1));
    }
    EXPECT_EQ(executor_.live_sequences, 0);
  }

  ByteText text_;
  LetterExecutor executor_;
  SchedulerSettings scheduler_;
  std::unique_ptr<Server> server_;
  std::shared_ptr<grpc::Channel> channel_;
  std::unique_ptr<v1::Hocket::Stub> stub_;
};

}  // namespace hocket

#endif  // HOCKET_TESTS_SERVICE_SERVER_FIXTURE_H_
