// What is kept for clients that come back, for how long and how much; and slow readers.
#include "service/session_registry.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <string>
#include <vector>

#include "absl/time/clock.h"
#include "service/error_reasons.h"
#include "service/list_requests.h"
#include "session_rig.h"

namespace hocket {
namespace {

using ::testing::HasSubstr;

TEST(SessionRegistryTest, WhatHasEndedIsKeptForItsTime) {
  SessionRig rig({.retain = absl::Milliseconds(200)});
  rig.Start(Named("one", 10))->WaitForEnd();
  ASSERT_TRUE(rig.Held("one"));
  EXPECT_EQ(rig.Held("one")->state(), v1::REQUEST_STATE_FINISHED);
  EXPECT_GT(rig.sessions.retained().bytes, 0);
  EXPECT_TRUE(rig.WaitUntilGone("one"));
  EXPECT_EQ(rig.sessions.retained().sessions, 0);
  EXPECT_EQ(rig.sessions.retained().bytes, 0);
  EXPECT_EQ(rig.sessions.retained().expired, 1);
  rig.Start(Named("one", 11))->WaitForEnd();  // Free for another.
  EXPECT_EQ(rig.executor.draws, 21);
}

TEST(SessionRegistryTest, WhatIsSuspendedIsKeptForItsTime) {
  SessionRig rig({.retain = absl::Milliseconds(200)});
  rig.StartAndLeave(Named("one", 300), 3);
  EXPECT_TRUE(rig.WaitUntilGone("one"));
  EXPECT_EQ(rig.Start(Named("one", 20))->WaitForEnd().texts.at(0), LettersAfter(3, 20));
}

TEST(SessionRegistryTest, WithoutRetentionARequestIsReadOnlyWhileItRuns) {
  SessionRig rig({.retain = absl::ZeroDuration()});
  rig.executor.step_ms = 1;
  const auto first = rig.Start(Named("one", 40));
  first->WaitForTokens(3);
  EXPECT_EQ(rig.Start(Named("one", 40))->WaitForEnd().texts.at(0), LettersAfter(3, 40));
  first->WaitForEnd();
  EXPECT_TRUE(rig.WaitUntilGone("one"));
  const auto left = rig.Start(Named("two", 300));
  left->WaitForTokens(3);
  left->ClientGone();
  EXPECT_TRUE(rig.WaitUntilGone("two"));
}

TEST(SessionRegistryTest, TheOldestGoFirstWhenThereIsNoRoom) {
  constexpr int64_t kRoom = 64 << 10;
  SessionRig rig({.retain_bytes = kRoom});
  for (int i = 0; i < 60; ++i) {
    rig.Start(Named("r" + std::to_string(i), 100))->WaitForEnd();
  }
  EXPECT_TRUE(rig.WaitUntilGone("r0"));
  EXPECT_TRUE(rig.Held("r59"));
  // What is too much goes a moment later, on the delivery thread.
  for (int i = 0; i < 2000 && rig.sessions.retained().bytes > kRoom; ++i) {
    absl::SleepFor(absl::Milliseconds(1));
  }
  const SessionRegistry::Retained retained = rig.sessions.retained();
  EXPECT_LE(retained.bytes, kRoom);
  EXPECT_GT(retained.bytes, kRoom / 2);
  EXPECT_EQ(retained.evicted + retained.sessions, 60);
  int64_t shown = 0;
  const v1::ListRequestsResponse list = ListHeldRequests({}, rig.sessions);
  for (const v1::HeldRequest& held : list.requests()) {
    shown += held.pending_bytes();
    EXPECT_GE(held.pending_bytes(), 100 * (4 + 4 + 1)) << "ids, ends and text";
  }
  EXPECT_EQ(shown, retained.bytes);
}

TEST(SessionRegistryTest, ARequestThatOutgrowsItsRoomIsNotKeptAndStillEnds) {
  SessionRig rig({.retain_bytes = 1 << 20});
  v1::GenerateRequest request = Named("one", 2000);
  request.mutable_output()->set_top_logprobs(20);  // About 230 bytes a token.
  request.mutable_output()->set_prompt_logprobs(true);
  std::string prompt(40, 'x');
  request.set_text(prompt);
  // A megabyte is any request's own; 2000 tokens with alternatives stay below, so more of them.
  request.mutable_choices()->set_n(3);
  const auto call = rig.Start(request);
  EXPECT_EQ(call->WaitForEnd().texts.at(2), LettersAfter(41, 2000, 2));
  EXPECT_TRUE(rig.WaitUntilGone("one"));
}

TEST(SessionRegistryTest, ASlowReaderThatReadsOnIsToldSo) {
  SessionRig rig({.slow_reader = absl::Milliseconds(100)});
  rig.executor.step_ms = 2;
  const auto slow = rig.Start(Named("one", 400), {.takes = 2});
  ASSERT_TRUE(rig.WaitForState("one", v1::REQUEST_STATE_SUSPENDED));
  const size_t had = slow->WaitForTokens(0).tokens[0].size();
  slow->Take(static_cast<size_t>(-1));
  const ReadAnswer answer = slow->WaitForEnd();
  EXPECT_FALSE(slow->aborted());
  EXPECT_EQ(ReasonOf(*answer.status), ErrorReason::kSlowReader);
  EXPECT_EQ(answer.tokens.at(0).size(), had) << "nothing more is sent but the end";
}

TEST(SessionRegistryTest, ASlowReaderThatReadsNothingIsEndedAndComesBack) {
  SessionRig rig(
      {.slow_reader = absl::Milliseconds(100), .slow_reader_grace = absl::Milliseconds(100)});
  rig.executor.step_ms = 1;
  const auto slow = rig.Start(Named("one", 100), {.takes = 2});
  const ReadAnswer had = slow->WaitForEnd();
  EXPECT_TRUE(slow->aborted());
  EXPECT_TRUE(absl::IsResourceExhausted(*had.status)) << *had.status;
  EXPECT_EQ(ReasonOf(*had.status), ErrorReason::kSlowReader);
  v1::GenerateRequest again = Named("one", 100);
  again.mutable_resume()->add_token_offsets(had.choice_tokens.at(0));
  const ReadAnswer rest = rig.Start(again)->WaitForEnd();
  EXPECT_EQ(*rest.status, absl::OkStatus());
  EXPECT_EQ(had.texts.at(0) + rest.texts.at(0), LettersAfter(3, 100));
}

TEST(SessionRegistryTest, AReaderThatTakesWhatComesIsNotSlow) {
  SessionRig rig({.slow_reader = absl::Milliseconds(100)});
  rig.executor.step_ms = 5;
  const auto call = rig.Start(Named("one", 100));
  EXPECT_EQ(*call->WaitForEnd().status, absl::OkStatus());
  EXPECT_FALSE(call->aborted());
}

TEST(SessionRegistryTest, AListSaysWhatIsHeld) {
  SessionRig rig;
  rig.executor.step_ms = 2;
  const auto first = rig.Start(Named("first", 300), {.tenant = "a"});
  first->WaitForTokens(3);
  const auto second = rig.Start(Named("second", 5), {.tenant = "b"});
  second->WaitForEnd();
  const v1::ListRequestsResponse all = ListHeldRequests({}, rig.sessions);
  ASSERT_EQ(all.requests_size(), 2);
  EXPECT_EQ(all.total(), 2);
  const v1::HeldRequest& running = all.requests(0);
  EXPECT_EQ(running.request_id(), "first");
  EXPECT_EQ(running.tenant(), "a");
  EXPECT_EQ(running.model(), "small");
  EXPECT_EQ(running.method(), "Test");
  EXPECT_EQ(running.state(), v1::REQUEST_STATE_RUNNING);
  EXPECT_EQ(running.priority(), v1::PRIORITY_CLASS_STANDARD);
  EXPECT_EQ(running.prompt_tokens(), 3);
  EXPECT_GE(running.generated_tokens(), 3);
  EXPECT_EQ(running.attached_calls(), 1);
  EXPECT_GT(running.pending_bytes(), 0);
  EXPECT_EQ(all.requests(1).state(), v1::REQUEST_STATE_FINISHED);
  EXPECT_EQ(all.requests(1).generated_tokens(), 5);
  EXPECT_EQ(all.requests(1).attached_calls(), 0);
  v1::ListRequestsRequest filter;
  filter.set_tenant("b");
  EXPECT_EQ(ListHeldRequests(filter, rig.sessions).requests(0).request_id(), "second");
  filter.set_model("other");
  EXPECT_EQ(ListHeldRequests(filter, rig.sessions).total(), 0);
}

TEST(SessionRegistryTest, IntervalsOutOfRangeAreNamed) {
  v1::ListRequestsRequest request;
  EXPECT_EQ(CheckListRequests(request), absl::OkStatus());
  request.mutable_interval()->set_nanos(99'999'999);
  EXPECT_THAT(std::string(CheckListRequests(request).message()),
              HasSubstr("interval: 0 s and 99999999 ns is out of range [0.1 s, 1 h]"));
  request.mutable_interval()->set_nanos(100'000'000);
  EXPECT_EQ(CheckListRequests(request), absl::OkStatus());
  request.mutable_interval()->set_seconds(3600);
  EXPECT_FALSE(CheckListRequests(request).ok());
  request.mutable_interval()->set_nanos(0);
  EXPECT_EQ(CheckListRequests(request), absl::OkStatus());
}

TEST(SessionRegistryTest, BadSettingsAreNamed) {
  EXPECT_THAT(std::string(SessionSettings{.retain = absl::Seconds(-1)}.Validate().message()),
              HasSubstr("retain_seconds: -1 is out of range [0, 86400]"));
  EXPECT_THAT(std::string(SessionSettings{.retain_bytes = -1}.Validate().message()),
              HasSubstr("retain_bytes: -1"));
  EXPECT_THAT(
      std::string(SessionSettings{.slow_reader = absl::ZeroDuration()}.Validate().message()),
      HasSubstr("slow_reader_seconds: 0 is out of range [0.1, 86400]"));
}

}  // namespace
}  // namespace hocket
