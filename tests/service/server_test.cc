// The whole service over a real connection, with a small model behind the real engine.
#include "service/server.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <chrono>
#include <string>
#include <thread>
#include <vector>

#include "server_fixture.h"

namespace hocket {
namespace {

using ::testing::HasSubstr;
using ::testing::StartsWith;

TEST_F(ServerTest, AStreamTellsTheWholeStoryInOrder) {
  auto request = RequestOf("once", 40, "mine");
  request.mutable_sampling()->set_seed(5);
  const StreamResult result = Stream(request);
  ASSERT_TRUE(result.status.ok()) << result.status.error_message();
  ASSERT_GE(result.events.size(), 3u);
  const v1::Started& started = result.events.front().started();
  EXPECT_EQ(started.request_id(), "mine");
  EXPECT_EQ(started.model(), "small");
  EXPECT_EQ(started.prompt_tokens(), 5);
  EXPECT_EQ(started.settings().sampling().seed(), 5u);
  EXPECT_EQ(started.settings().sampling().top_k(), 40);
  for (size_t i = 1; i + 1 < result.events.size(); ++i) EXPECT_TRUE(result.events[i].has_delta());
  const v1::Finished& finished = result.events.back().finished();
  EXPECT_EQ(finished.finish_reason(), v1::FINISH_REASON_LENGTH);
  EXPECT_EQ(finished.usage().prompt_tokens(), 5);
  EXPECT_EQ(finished.usage().generated_tokens(), 40);
  EXPECT_EQ(result.text(), LettersAfter(5, 40));
}

TEST_F(ServerTest, UnaryAndStreamGiveTheSameAnswer) {
  auto request = RequestOf("once", 30);
  request.mutable_sampling()->set_seed(1);
  request.mutable_output()->set_top_logprobs(2);
  request.mutable_output()->set_prompt_logprobs(true);
  request.mutable_stopping()->add_stop_tokens('p');
  const StreamResult stream = Stream(request);
  v1::Choice folded;
  v1::PromptScores prompt;
  for (const auto& event : stream.events) {
    folded.set_text(folded.text() + event.delta().text());
    folded.mutable_token_ids()->MergeFrom(event.delta().token_ids());
    folded.mutable_logprobs()->MergeFrom(event.delta().logprobs());
    prompt.MergeFrom(event.prompt_scores());
  }
  const v1::Finished& finished = stream.events.back().finished();
  folded.set_finish_reason(finished.finish_reason());
  if (finished.has_stop_token()) folded.set_stop_token(finished.stop_token());

  grpc::ClientContext context;
  v1::GenerateResponse unary;
  ASSERT_TRUE(stub_->Generate(&context, request, &unary).ok());
  EXPECT_EQ(unary.choices(0).DebugString(), folded.DebugString());
  EXPECT_EQ(unary.choices(0).finish_reason(), v1::FINISH_REASON_STOP_TOKEN);
  ASSERT_EQ(unary.prompt_scores_size(), 5);
  EXPECT_EQ(prompt.scores_size(), 5);
  for (int i = 0; i < 5; ++i) {
    EXPECT_EQ(unary.prompt_scores(i).DebugString(), prompt.scores(i).DebugString());
  }
  EXPECT_EQ(unary.settings().DebugString(),
            stream.events.front().started().settings().DebugString());
  EXPECT_EQ(unary.usage().DebugString(), finished.usage().DebugString());
}

TEST_F(ServerTest, ManyStreamsAtOnceEachGetTheirOwnText) {
  std::vector<std::thread> clients;
  std::vector<StreamResult> results(24);
  for (int i = 0; i < 24; ++i) {
    clients.emplace_back(
        [this, i, &results] { results[i] = Stream(RequestOf(std::string(i + 1, 'x'), 100)); });
  }
  for (std::thread& client : clients) client.join();
  for (int i = 0; i < 24; ++i) {
    EXPECT_TRUE(results[i].status.ok()) << results[i].status.error_message();
    EXPECT_EQ(results[i].text(), LettersAfter(i + 2, 100));
  }
  ExpectNoSequenceSoon();
}

TEST_F(ServerTest, RefusalsCarryCodeAndField) {
  auto request = RequestOf("x", 4);
  request.mutable_sampling()->set_top_p(3);
  const StreamResult stream = Stream(request);
  EXPECT_EQ(stream.status.error_code(), grpc::StatusCode::INVALID_ARGUMENT);
  EXPECT_THAT(stream.status.error_message(), StartsWith("sampling.top_p: 3"));
  EXPECT_TRUE(stream.events.empty());
  request.mutable_sampling()->clear_top_p();
  request.set_adapter("mine");
  grpc::ClientContext context;
  v1::GenerateResponse response;
  EXPECT_EQ(stub_->Generate(&context, request, &response).error_code(),
            grpc::StatusCode::UNIMPLEMENTED);
}

TEST_F(ServerTest, AClientThatGoesAwayFreesItsSequence) {
  executor_.step_ms = 5;
  grpc::ClientContext context;
  auto reader = stub_->StreamGenerate(&context, RequestOf("x", 4000));
  v1::StreamGenerateResponse event;
  while (reader->Read(&event) && !event.has_delta()) continue;
  EXPECT_EQ(executor_.live_sequences, 1);
  context.TryCancel();
  EXPECT_EQ(reader->Finish().error_code(), grpc::StatusCode::CANCELLED);
  ExpectNoSequenceSoon();
}

TEST_F(ServerTest, CancelEndsARequestFromAnotherConnection) {
  executor_.step_ms = 5;
  StreamResult result;
  std::thread client([&] { result = Stream(RequestOf("x", 4000, "long one")); });
  // Cancelled earlier, while it is still tokenized, it would have no events.
  while (executor_.live_sequences == 0) absl::SleepFor(absl::Milliseconds(1));
  v1::CancelRequest cancel;
  cancel.set_request_id("long one");
  v1::CancelResponse response;
  grpc::ClientContext context;
  ASSERT_TRUE(stub_->Cancel(&context, cancel, &response).ok());
  EXPECT_TRUE(response.found());
  client.join();
  EXPECT_EQ(result.status.error_code(), grpc::StatusCode::CANCELLED);
  ASSERT_FALSE(result.events.empty());
  EXPECT_EQ(result.events.back().finished().finish_reason(), v1::FINISH_REASON_CANCELLED);
  ExpectNoSequenceSoon();
}

TEST_F(ServerTest, ADeadlineEndsTheRequest) {
  executor_.step_ms = 5;
  const StreamResult result = Stream(RequestOf("x", 4000), absl::Milliseconds(200));
  EXPECT_EQ(result.status.error_code(), grpc::StatusCode::DEADLINE_EXCEEDED);
  ExpectNoSequenceSoon();
  EXPECT_THAT(Page("/metrics"),
              HasSubstr("hocket_finish_reasons_total{model=\"small\",reason=\"deadline\"} 1\n"));
}

TEST_F(ServerTest, AnIdInUseIsRefusedToOthersAndReadAgainByItsOwn) {
  executor_.step_ms = 2;
  const auto open = OpenStream(RequestOf("x", 100, "one"));
  EXPECT_EQ(Stream(RequestOf("x", 5, "one")).status.error_code(), grpc::StatusCode::ALREADY_EXISTS);
  EXPECT_TRUE(open->Finish().ok());
  EXPECT_EQ(Stream(RequestOf("x", 5, "one")).status.error_code(), grpc::StatusCode::ALREADY_EXISTS);
  const StreamResult again = Stream(RequestOf("x", 100, "one"));
  EXPECT_TRUE(again.status.ok());
  EXPECT_EQ(again.text(), LettersAfter(2, 100));
  EXPECT_EQ(executor_.draws, 100);
}

TEST_F(ServerTest, AListOfRequestsComesAgainUntilTheServerDrains) {
  executor_.step_ms = 5;
  const auto open = OpenStream(RequestOf("x", 2000, "long"));
  v1::ListRequestsRequest request;
  v1::ListRequestsResponse list;
  {
    grpc::ClientContext context;
    auto once = stub_->ListRequests(&context, request);
    ASSERT_TRUE(once->Read(&list));
    ASSERT_EQ(list.requests_size(), 1);
    EXPECT_EQ(list.requests(0).request_id(), "long");
    EXPECT_FALSE(once->Read(&list));
    EXPECT_TRUE(once->Finish().ok());
  }
  request.mutable_interval()->set_nanos(100'000'000);
  grpc::ClientContext context;
  auto lists = stub_->ListRequests(&context, request);
  ASSERT_TRUE(lists->Read(&list));
  const int64_t before = list.requests(0).generated_tokens();
  ASSERT_TRUE(lists->Read(&list));
  ASSERT_TRUE(lists->Read(&list));
  EXPECT_GT(list.requests(0).generated_tokens(), before);
  std::thread stopping([&] { server_->Stop(absl::Now() + absl::Milliseconds(100)); });
  while (lists->Read(&list)) continue;
  EXPECT_TRUE(lists->Finish().ok());
  EXPECT_FALSE(open->Finish().ok());
  stopping.join();
}

TEST_F(ServerTest, AFullQueueRefusesWithARetryHint) {
  Start(/*max_waiting_requests=*/1);
  executor_.step_ms = 20;
  std::vector<std::thread> clients;
  std::atomic<int> refused = 0;
  for (int i = 0; i < 16; ++i) {
    clients.emplace_back([&] {
      const StreamResult result = Stream(RequestOf("x", 10));
      if (result.status.ok()) return;
      EXPECT_EQ(result.status.error_code(), grpc::StatusCode::RESOURCE_EXHAUSTED);
      EXPECT_EQ(result.refusal, "waiting_requests");
      EXPECT_GE(std::stoi(result.retry_after_ms), 50);
      EXPECT_LE(std::stoi(result.retry_after_ms), 30000);
      ++refused;
    });
  }
  for (std::thread& client : clients) client.join();
  EXPECT_GE(refused, 1);
}

TEST_F(ServerTest, AFailedRowFailsItsRequestAndNotTheServer) {
  executor_.fail_rows = true;
  const StreamResult failed = Stream(RequestOf("x", 5));
  EXPECT_EQ(failed.status.error_code(), grpc::StatusCode::INTERNAL);
  executor_.fail_rows = false;
  EXPECT_TRUE(Stream(RequestOf("x", 5)).status.ok());
}

TEST_F(ServerTest, ScoreGivesEveryTokenButTheFirstItsLogprob) {
  v1::ScoreRequest request;
  request.set_text("hello");
  request.set_top_logprobs(3);
  grpc::ClientContext context;
  v1::ScoreResponse response;
  const grpc::Status status = stub_->Score(&context, request, &response);
  ASSERT_TRUE(status.ok()) << status.error_message();
  ASSERT_EQ(response.scores_size(), 6);
  EXPECT_FALSE(response.scores(0).has_logprob());
  double total = 0;
  for (int i = 1; i < 6; ++i) {
    EXPECT_EQ(response.scores(i).top_size(), 3);
    total += response.scores(i).logprob();
  }
  EXPECT_DOUBLE_EQ(response.total_logprob(), total);
  EXPECT_EQ(response.usage().generated_tokens(), 0);
}

TEST_F(ServerTest, EmbedReturnsTheVector) {
  v1::EmbedRequest request;
  request.set_text("hello");
  grpc::ClientContext context;
  v1::EmbedResponse response;
  const grpc::Status status = stub_->Embed(&context, request, &response);
  ASSERT_TRUE(status.ok()) << status.error_message();
  EXPECT_THAT(response.embedding(), testing::ElementsAre(1, 2, 3, 4));
  EXPECT_EQ(response.pooling(), v1::POOLING_MEAN);
  EXPECT_TRUE(response.normalized());
}

TEST_F(ServerTest, TokenizeDetokenizeAndModels) {
  v1::TokenizeRequest tokenize;
  tokenize.mutable_chat()->add_messages()->set_role("user");
  v1::TokenizeResponse tokens;
  grpc::ClientContext first;
  ASSERT_TRUE(stub_->Tokenize(&first, tokenize, &tokens).ok());
  EXPECT_EQ(tokens.prompt(), "user: \nassistant: ");
  v1::DetokenizeRequest detokenize;
  *detokenize.mutable_token_ids() = tokens.token_ids();
  v1::DetokenizeResponse text;
  grpc::ClientContext second;
  ASSERT_TRUE(stub_->Detokenize(&second, detokenize, &text).ok());
  EXPECT_EQ(text.text(), tokens.prompt());

  v1::ListModelsResponse models;
  grpc::ClientContext third;
  ASSERT_TRUE(stub_->ListModels(&third, {}, &models).ok());
  ASSERT_EQ(models.models_size(), 1);
  EXPECT_EQ(models.models(0).name(), "small");
  EXPECT_TRUE(models.models(0).chat_template());
  v1::GetModelRequest get;
  get.set_model("other");
  v1::GetModelResponse model;
  grpc::ClientContext fourth;
  EXPECT_EQ(stub_->GetModel(&fourth, get, &model).error_code(), grpc::StatusCode::NOT_FOUND);
}

TEST_F(ServerTest, TheMetricsPageCountsWhatHappened) {
  ASSERT_TRUE(Stream(RequestOf("once", 10)).status.ok());
  auto bad = RequestOf("x", 1);
  bad.mutable_sampling()->set_top_k(-1);
  Stream(bad);
  const std::string page = Page("/metrics");
  for (const char* line :
       {"hocket_requests_total{method=\"StreamGenerate\",model=\"small\",outcome=\"ok\"} 1\n",
        "hocket_requests_total{method=\"StreamGenerate\",model=\"small\",outcome="
        "\"invalid_argument\"} 1\n",
        "hocket_finish_reasons_total{model=\"small\",reason=\"length\"} 1\n",
        "hocket_prompt_tokens_total{model=\"small\"} 5\n",
        "hocket_generated_tokens_total{model=\"small\"} 10\n",
        "hocket_time_to_first_token_seconds_count{model=\"small\"} 1\n",
        "hocket_inter_token_seconds_count{model=\"small\"} 9\n",
        "hocket_request_seconds_count{model=\"small\"} 1\n",
        "hocket_requests_running{model=\"small\",priority=\"standard\"} 0\n",
        "hocket_requests_waiting{model=\"small\",priority=\"standard\"} 0\n",
        "hocket_kv_blocks_used{model=\"small\"} ", "hocket_max_kv_blocks{model=\"small\"} 512\n",
        "hocket_step_seconds_count{", "hocket_step_batch_rows_count{",
        "hocket_preemptions_total{model=\"small\"} 0\n",
        "hocket_prefix_cache_queries_total{model=\"small\"} 1\n",
        "hocket_prefix_cache_hits_total{model=\"small\"} 0\n", "hocket_kv_blocks_cached{",
        "hocket_build_info{"}) {
    EXPECT_THAT(page, HasSubstr(line));
  }
  EXPECT_THAT(Page("/healthz"), StartsWith("200"));
  EXPECT_THAT(Page("/readyz"), StartsWith("200"));
}

TEST_F(ServerTest, DrainingFinishesWhatRunsAndRefusesWhatComes) {
  executor_.step_ms = 5;
  const auto open = OpenStream(RequestOf("x", 100));
  int ended = -1;
  std::thread stopping([&] { ended = server_->Stop(absl::Now() + absl::Seconds(30)); });
  const StreamResult late = StreamUntilRefused(RequestOf("x", 1));
  EXPECT_EQ(late.status.error_code(), grpc::StatusCode::UNAVAILABLE);
  EXPECT_THAT(Page("/readyz"), StartsWith("503"));
  EXPECT_TRUE(open->Finish().ok());
  EXPECT_EQ(open->event.finished().usage().generated_tokens(), 100);
  stopping.join();
  EXPECT_EQ(ended, 0);
}

TEST_F(ServerTest, WhatOutlastsTheGraceIsEndedAndToldSo) {
  executor_.step_ms = 5;
  const auto open = OpenStream(RequestOf("x", 4000));
  EXPECT_EQ(server_->Stop(absl::Now() + absl::Milliseconds(50)), 1);
  EXPECT_EQ(open->Finish().error_code(), grpc::StatusCode::UNAVAILABLE);
  EXPECT_EQ(open->event.finished().finish_reason(), v1::FINISH_REASON_SHUTDOWN);
}

TEST_F(ServerTest, ATakenPortIsAClearError) {
  for (const bool metrics : {false, true}) {
    LetterExecutor executor;
    ServerSettings settings;
    settings.port = metrics ? 0 : server_->port();
    settings.metrics_port = metrics ? server_->metrics_port() : 0;
    const auto second = Server::Start(settings, {Small(executor)});
    EXPECT_TRUE(absl::IsUnavailable(second.status())) << second.status();
    EXPECT_THAT(std::string(second.status().message()), HasSubstr("is the port taken?"));
  }
}

TEST_F(ServerTest, AnIpv6AddressIsBracketed) {
  EXPECT_EQ(ListenAddress("127.0.0.1", 80), "127.0.0.1:80");
  EXPECT_EQ(ListenAddress("::1", 80), "[::1]:80");
  EXPECT_EQ(ListenAddress("[::1]", 80), "[::1]:80");
}

TEST_F(ServerTest, BadSettingsAreNamed) {
  ServerSettings settings;
  settings.port = 70000;
  EXPECT_THAT(std::string(settings.Validate().message()),
              StartsWith("port: 70000 is out of range [0, 65535]"));
}

}  // namespace
}  // namespace hocket
