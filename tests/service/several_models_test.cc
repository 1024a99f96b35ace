// Several models behind one server: each answers, fails and drains by itself.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <string>
#include <thread>

#include "server_fixture.h"
#include "service/server.h"

namespace hocket {
namespace {

using ::testing::HasSubstr;

class TwoModelsTest : public ServerTest {
 protected:
  void SetUp() override {
    scheduler_.total_blocks = 512;
    scheduler_.max_context_tokens = 4096;
    ServerSettings settings;
    settings.port = 0;
    settings.metrics_port = 0;
    other_executor_.ahead = 3;
    auto server =
        Server::Start(settings, {Small(executor_, "first"), Small(other_executor_, "second")});
    ASSERT_TRUE(server.ok()) << server.status();
    server_ = *std::move(server);
    channel_ = grpc::CreateChannel("127.0.0.1:" + std::to_string(server_->port()),
                                   grpc::InsecureChannelCredentials());
    stub_ = v1::Hocket::NewStub(channel_);
  }
  // An engine may still be in its executor, which goes before the fixture's server does.
  void TearDown() override { server_.reset(); }

  v1::GenerateRequest RequestTo(const std::string& model, int32_t max_new_tokens) {
    v1::GenerateRequest request = RequestOf("once", max_new_tokens);
    request.set_model(model);
    return request;
  }

  LetterExecutor other_executor_;
};

TEST_F(TwoModelsTest, ARequestsModelChoosesAndTheFirstIsTheDefault) {
  const StreamResult first = Stream(RequestTo("first", 20));
  const StreamResult second = Stream(RequestTo("second", 20));
  EXPECT_EQ(first.text(), LettersAfter(5, 20));
  EXPECT_EQ(second.text(), LettersAfter(5 + 3, 20));
  EXPECT_EQ(second.events.front().started().model(), "second");
  EXPECT_EQ(Stream(RequestTo("", 20)).events.front().started().model(), "first");
  const StreamResult third = Stream(RequestTo("third", 20));
  EXPECT_EQ(third.status.error_code(), grpc::StatusCode::NOT_FOUND);
  EXPECT_THAT(third.status.error_message(), HasSubstr(R"(served: "first", "second")"));
}

TEST_F(TwoModelsTest, OneModelsTroubleIsNotTheOthers) {
  executor_.fail_rows = true;
  EXPECT_EQ(Stream(RequestTo("first", 5)).status.error_code(), grpc::StatusCode::INTERNAL);
  EXPECT_TRUE(Stream(RequestTo("second", 5)).status.ok());
}

TEST_F(TwoModelsTest, AllDrainAtOnceWithinOneDeadline) {
  executor_.step_ms = 5;
  const auto open = OpenStream(RequestTo("first", 4000));
  const absl::Time begin = absl::Now();
  int ended = -1;
  std::thread stopping([&] { ended = server_->Stop(begin + absl::Seconds(4)); });
  const StreamResult late = StreamUntilRefused(RequestTo("second", 1));
  EXPECT_LT(absl::Now() - begin, absl::Seconds(2));  // Not only when the first has drained.
  EXPECT_EQ(late.status.error_code(), grpc::StatusCode::UNAVAILABLE);
  EXPECT_EQ(open->Finish().error_code(), grpc::StatusCode::UNAVAILABLE);
  EXPECT_EQ(open->event.finished().finish_reason(), v1::FINISH_REASON_SHUTDOWN);
  stopping.join();
  EXPECT_EQ(ended, 1);
}

TEST_F(TwoModelsTest, OneNameForBothIsRefused) {
  LetterExecutor executors[2];
  const auto server = Server::Start({}, {Small(executors[0]), Small(executors[1], "small")});
  EXPECT_EQ(server.status().message(), "models: two of them are called \"small\"");
}

}  // namespace
}  // namespace hocket
