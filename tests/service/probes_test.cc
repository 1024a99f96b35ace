// The probes of the whole server where its engine stands still.
#include <gmock/gmock.h>
#include <grpcpp/grpcpp.h>
#include <gtest/gtest.h>
#include <httplib.h>

#include <chrono>
#include <string>
#include <thread>

#include "hocket/v1/hocket.grpc.pb.h"
#include "service/server.h"
#include "small_model.h"

namespace hocket {
namespace {

using ::testing::HasSubstr;

TEST(ProbesTest, AnEngineThatStandsStillIsNotLiveUntilItsStepEnds) {
  ByteText text;
  LetterExecutor executor;
  executor.step_ms = 2500;
  SchedulerSettings scheduler;
  scheduler.total_blocks = 16;
  scheduler.max_context_tokens = 64;
  ServerSettings settings;
  settings.port = 0;
  settings.metrics_port = 0;
  settings.health.stall = absl::Seconds(1);
  const auto server = Server::Start(
      settings, {{.name = "",
                  .model = {.info = SmallModelInfo(), .text = &text, .executor = &executor},
                  .scheduler = scheduler,
                  .trace_plans_file = ""}});
  ASSERT_TRUE(server.ok()) << server.status();
  const auto probe = [&](const char* path) {
    httplib::Client client("127.0.0.1", (*server)->metrics_port());
    const auto response = client.Get(path);
    return response ? std::to_string(response->status) + " " + response->body : "no answer";
  };
  const auto soon = [&](const char* path, const std::string& beginning) {
    for (int i = 0; i < 100 && !probe(path).starts_with(beginning); ++i) {
      std::this_thread::sleep_for(std::chrono::milliseconds(50));
    }
    return probe(path);
  };
  EXPECT_EQ(probe("/healthz"), "200 ok\n");

  const auto channel = grpc::CreateChannel("127.0.0.1:" + std::to_string((*server)->port()),
                                           grpc::InsecureChannelCredentials());
  const auto stub = v1::Hocket::NewStub(channel);
  std::thread call([&] {
    grpc::ClientContext context;
    v1::GenerateRequest request;
    request.set_text("x");
    request.mutable_stopping()->set_max_new_tokens(1);
    v1::GenerateResponse response;
    EXPECT_TRUE(stub->Generate(&context, request, &response).ok());
  });
  EXPECT_THAT(soon("/healthz", "503"), HasSubstr("503 model small: no step has ended for"));
  EXPECT_THAT(probe("/readyz"), HasSubstr("503 model small: no step has ended for"));
  EXPECT_THAT(probe("/metrics"), HasSubstr("hocket_live{model=\"small\"} 0\n"));
  call.join();
  EXPECT_EQ(soon("/healthz", "200"), "200 ok\n");
  EXPECT_EQ(probe("/readyz"), "200 ok\n");
}

}  // namespace
}  // namespace hocket
