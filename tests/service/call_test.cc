#include "service/call.h"

#include <gtest/gtest.h>

#include <future>
#include <string>
#include <vector>

#include "absl/time/clock.h"
#include "service/status.h"
#include "session_rig.h"

namespace hocket {
namespace {

// Visible to ThreadSanitizer, which cannot see into the packaged absl.
class Gate {
 public:
  void Notify() { opened_.set_value(); }
  void WaitForNotification() { open_.wait(); }

 private:
  std::promise<void> opened_;
  std::shared_future<void> open_ = opened_.get_future().share();
};

class CallTest : public testing::Test {
 protected:
  // A call whose validation waits for go_on_.
  std::shared_ptr<TestCall> StartHeld(const v1::GenerateRequest& request) {
    auto call = rig_.Start(request, {}, [this, request]() -> absl::StatusOr<ValidRequest> {
      running_.Notify();
      go_on_.WaitForNotification();
      return rig_.validator.Generate(request);
    });
    running_.WaitForNotification();
    return call;
  }

  Gate running_, go_on_;  // Outlive the threads that wait for them.
  SessionRig rig_{SessionSettings(), /*max_queued_texts=*/1};
};

TEST_F(CallTest, ACallThatDoesNotStreamDeliversOnce) {
  const ReadAnswer answer = rig_.Start(Named("", 20), {.streams = false})->WaitForEnd();
  EXPECT_EQ(answer.batches, 1u);
  EXPECT_TRUE(answer.started && answer.finished);
  EXPECT_EQ(answer.texts.at(0), LettersAfter(3, 20));
}

TEST_F(CallTest, SeveralChoicesEachHaveTheirOwnTextAndEnd) {
  v1::GenerateRequest request = Named("", 20);
  request.mutable_choices()->set_n(3);
  const ReadAnswer answer = rig_.Start(request)->WaitForEnd();
  ASSERT_EQ(answer.texts.size(), 3u);
  for (int32_t i = 0; i < 3; ++i) {
    EXPECT_EQ(answer.texts.at(i), LettersAfter(3, 20, i));
    EXPECT_EQ(answer.ends.at(i), FinishReason::kLength);
  }
  EXPECT_EQ(answer.finished->usage.generated_tokens, 60);
}

TEST_F(CallTest, TheBestOfSeveralAreToldAndNoOther) {
  v1::GenerateRequest request = Named("", 5);
  request.mutable_choices()->set_n(2);
  request.mutable_choices()->set_best_of(4);
  const ReadAnswer answer = rig_.Start(request)->WaitForEnd();
  ASSERT_EQ(answer.texts.size(), 2u);
  EXPECT_EQ(answer.texts.at(0), LettersAfter(3, 5, 2));
  EXPECT_EQ(answer.texts.at(1), LettersAfter(3, 5, 1));
  EXPECT_EQ(answer.finished->usage.generated_tokens, 20);
}

TEST_F(CallTest, GuessesChangeNothing) {
  v1::GenerateRequest request = Named("", 100);
  request.set_text("abcdefghijklmnopqrstuvwxyzabcdefghijklmnopqrstuvwxyz");
  for (const bool guesses : {false, true}) {
    request.mutable_speculation()->set_prompt_lookup(guesses);
    EXPECT_EQ(rig_.Start(request)->WaitForEnd().texts.at(0), LettersAfter(53, 100));
  }
  EXPECT_GT(rig_.engine.Stats().accepted_draft_tokens, 0);
}

TEST_F(CallTest, AClientThatLeavesBeforeSubmissionIsNotServed) {
  const auto call = StartHeld(Named("", 400));
  call->ClientGone();
  go_on_.Notify();
  EXPECT_TRUE(absl::IsCancelled(*call->WaitForEnd().status));
  EXPECT_EQ(rig_.executor.draws, 0);
}

TEST_F(CallTest, WhoLeavesWhileItIsTokenizedDoesNotEndItForOthers) {
  const auto first = StartHeld(Named("one", 30));
  const auto second = rig_.Start(Named("one", 30));
  first->ClientGone();
  go_on_.Notify();
  EXPECT_TRUE(absl::IsCancelled(*first->WaitForEnd().status));
  EXPECT_EQ(second->WaitForEnd().texts.at(0), LettersAfter(3, 30));
}

TEST_F(CallTest, AClientThatLeavesEndsTheRequest) {
  rig_.executor.step_ms = 2;
  const auto call = rig_.Start(Named("", 400), {.streams = false});
  while (rig_.engine.Stats().running_sequences == 0) absl::SleepFor(absl::Milliseconds(1));
  call->ClientGone();
  const ReadAnswer answer = call->WaitForEnd();
  ASSERT_TRUE(answer.finished);
  EXPECT_EQ(answer.finished->finish.reason, FinishReason::kCancelled);
  EXPECT_TRUE(absl::IsCancelled(*answer.status));
  EXPECT_LT(rig_.executor.draws, 400);
}

TEST_F(CallTest, ACallThatIsStillTokenizedIsFoundByCancelAndKeepsItsId) {
  const auto call = StartHeld(Named("one", 400));
  EXPECT_TRUE(absl::IsAlreadyExists(*rig_.Start(Named("one", 1))->WaitForEnd().status));
  EXPECT_TRUE(rig_.sessions.Cancel({.tenant = "", .request_id = "one"}));
  go_on_.Notify();
  EXPECT_TRUE(absl::IsCancelled(*call->WaitForEnd().status));
  EXPECT_EQ(rig_.executor.draws, 0);
  EXPECT_FALSE(rig_.sessions.Cancel({.tenant = "", .request_id = "one"}));
  EXPECT_TRUE(absl::IsCancelled(*rig_.Start(Named("one", 400))->WaitForEnd().status))
      << "it was cancelled for good";
}

TEST_F(CallTest, ARequestWithoutAnIdIsFoundByTheOneMadeForIt) {
  rig_.executor.step_ms = 2;
  const auto call = rig_.Start(Named("", 400));
  call->WaitForTokens(1);
  EXPECT_TRUE(rig_.sessions.Cancel({.tenant = "", .request_id = call->request_id()}));
  EXPECT_TRUE(absl::IsCancelled(*call->WaitForEnd().status));
}

TEST_F(CallTest, ABadIdIsRefused) {
  EXPECT_TRUE(
      absl::IsInvalidArgument(*rig_.Start(Named(std::string(129, 'x'), 5))->WaitForEnd().status));
}

TEST_F(CallTest, OnlyAFullLineIsWorthAnotherTry) {
  const auto call = rig_.Start(Named("one", 1), {}, [this]() -> absl::StatusOr<ValidRequest> {
    absl::StatusOr<ValidRequest> valid = rig_.validator.Generate(Named("one", 1));
    valid->prompt = std::make_shared<const std::vector<TokenId>>(500, 1);
    valid->shape.sequences = 64;  // Too many to run at once.
    return valid;
  });
  const ReadAnswer answer = call->WaitForEnd();
  EXPECT_TRUE(absl::IsResourceExhausted(*answer.status)) << *answer.status;
  EXPECT_EQ(RetryAfter(*answer.status), std::nullopt);
}

TEST_F(CallTest, AFullTextPoolRefusesAtOnce) {
  const auto held = StartHeld(Named("", 5));
  ASSERT_TRUE(rig_.text_pool.TrySchedule([] {}));
  const ReadAnswer answer = rig_.Start(Named("one", 5))->WaitForEnd();
  EXPECT_TRUE(absl::IsResourceExhausted(*answer.status));
  EXPECT_NE(RetryAfter(*answer.status), std::nullopt);
  go_on_.Notify();
  EXPECT_EQ(*held->WaitForEnd().status, absl::OkStatus());
  EXPECT_EQ(*rig_.Start(Named("one", 5))->WaitForEnd().status, absl::OkStatus())
      << "the id is free again";
}

}  // namespace
}  // namespace hocket
