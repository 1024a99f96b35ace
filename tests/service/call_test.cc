#include "service/call.h"

#include <gtest/gtest.h>

#include <condition_variable>
#include <future>
#include <mutex>
#include <vector>

#include "service/status.h"
#include "small_model.h"

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

// A reader that takes the next batch only when told to.
class SlowCall : public Call {
 public:
  SlowCall(const CallParts& parts, bool streams)
      : Call(parts, "Test", streams, absl::InfiniteFuture()) {}

  using Call::BatchSent;

  std::string id() const { return context().request.request_id; }

  std::vector<EventBatch> WaitForBatches(size_t count) {
    std::unique_lock lock(mutex_);
    arrived_.wait_for(lock, std::chrono::seconds(20), [&] { return batches_.size() >= count; });
    return batches_;
  }
  std::optional<absl::Status> end() {
    std::lock_guard lock(mutex_);
    return end_;
  }

 protected:
  void Send(EventBatch batch, std::optional<absl::Status> end) override {
    std::lock_guard lock(mutex_);
    batches_.push_back(std::move(batch));
    end_ = std::move(end);
    arrived_.notify_all();
  }

 private:
  std::mutex mutex_;
  std::condition_variable arrived_;
  std::vector<EventBatch> batches_;
  std::optional<absl::Status> end_;
};

class CallTest : public testing::Test {
 protected:
  static SchedulerSettings Settings() {
    SchedulerSettings settings;
    settings.total_blocks = 26;
    settings.max_context_tokens = 512;
    return settings;
  }

  absl::StatusOr<ValidRequest> ValidText(const std::string& text, int32_t max_new_tokens) {
    v1::GenerateRequest request;
    request.set_text(text);
    request.set_request_id("call");
    request.mutable_stopping()->set_max_new_tokens(max_new_tokens);
    return validator_.Generate(request);
  }

  Gate running_, go_on_;  // Outlive the threads that wait for them.
  ByteText text_;
  LetterExecutor executor_;
  prometheus::Registry registry_;
  Metrics metrics_{&registry_, SmallModelInfo()};
  Validator validator_{"small", SmallModelInfo(), &text_, 1 << 20};
  DeliveryThread delivery_;
  Engine engine_{Settings(), &executor_, &metrics_};
  TextPool text_pool_{1, 1};
  CallRegistry calls_;
  CallParts parts_{&engine_, &validator_, &text_, &text_pool_, &delivery_, &metrics_, &calls_};
};

TEST_F(CallTest, WhileAReaderIsSlowOutcomesAreMergedAndNoneIsLost) {
  auto call = std::make_shared<SlowCall>(parts_, /*streams=*/true);
  call->OnStarted({});
  ASSERT_EQ(call->WaitForBatches(1).size(), 1u);
  for (TokenId token = 0; token < 1000; ++token) {
    Outcome outcome;
    outcome.tokens = {token};
    outcome.text = "x";
    call->OnOutcome(std::move(outcome));
  }
  EXPECT_EQ(call->WaitForBatches(1).size(), 1u);  // The first is still on its way.
  call->BatchSent();
  const std::vector<EventBatch> batches = call->WaitForBatches(2);
  ASSERT_EQ(batches.size(), 2u);
  EXPECT_EQ(batches[1].choices[0].tokens.size(), 1000u);
  EXPECT_EQ(batches[1].choices[0].text.size(), 1000u);
  FinishedEvent finished;
  call->OnFinished(finished);
  call->BatchSent();
  EXPECT_TRUE(call->WaitForBatches(3)[2].ends());
  EXPECT_EQ(call->end(), absl::OkStatus());
}

TEST_F(CallTest, ACallThatDoesNotStreamDeliversOnce) {
  auto call = std::make_shared<SlowCall>(parts_, /*streams=*/false);
  call->Start("call", [this] { return ValidText("hi", 20); });
  const std::vector<EventBatch> batches = call->WaitForBatches(1);
  ASSERT_EQ(batches.size(), 1u);
  EXPECT_TRUE(batches[0].started && batches[0].finished);
  EXPECT_EQ(batches[0].choices[0].text, LettersAfter(3, 20));
}

TEST_F(CallTest, SeveralChoicesEachHaveTheirOwnTextAndEnd) {
  auto call = std::make_shared<SlowCall>(parts_, /*streams=*/false);
  call->Start("call", [this] {
    v1::GenerateRequest request;
    request.set_text("hi");
    request.mutable_choices()->set_n(3);
    request.mutable_stopping()->set_max_new_tokens(20);
    return validator_.Generate(request);
  });
  const EventBatch batch = call->WaitForBatches(1)[0];
  ASSERT_EQ(batch.choices.size(), 3u);
  for (int32_t i = 0; i < 3; ++i) {
    EXPECT_EQ(batch.choices[i].choice_index, i);
    EXPECT_EQ(batch.choices[i].text, LettersAfter(3, 20, i));
    ASSERT_TRUE(batch.choices[i].finish);
    EXPECT_EQ(batch.choices[i].finish->reason, FinishReason::kLength);
  }
  EXPECT_EQ(batch.finished->usage.generated_tokens, 60);
}

TEST_F(CallTest, TheBestOfSeveralAreToldAndNoOther) {
  auto call = std::make_shared<SlowCall>(parts_, /*streams=*/false);
  call->Start("call", [this] {
    v1::GenerateRequest request;
    request.set_text("hi");
    request.mutable_choices()->set_n(2);
    request.mutable_choices()->set_best_of(4);
    request.mutable_stopping()->set_max_new_tokens(5);
    return validator_.Generate(request);
  });
  const EventBatch batch = call->WaitForBatches(1)[0];
  ASSERT_EQ(batch.choices.size(), 2u);
  EXPECT_EQ(batch.choices[0].text, LettersAfter(3, 5, 2));
  EXPECT_EQ(batch.choices[0].finish->score, LetterLogprob(2));
  EXPECT_EQ(batch.choices[1].text, LettersAfter(3, 5, 1));
  EXPECT_EQ(batch.finished->usage.generated_tokens, 20);
}

TEST_F(CallTest, GuessesChangeNothing) {
  std::vector<std::string> texts;
  for (const bool guesses : {false, true}) {
    auto call = std::make_shared<SlowCall>(parts_, /*streams=*/false);
    call->Start("call", [this, guesses] {
      v1::GenerateRequest request;
      request.set_text("abcdefghijklmnopqrstuvwxyzabcdefghijklmnopqrstuvwxyz");
      request.mutable_speculation()->set_prompt_lookup(guesses);
      request.mutable_stopping()->set_max_new_tokens(100);
      return validator_.Generate(request);
    });
    texts.push_back(call->WaitForBatches(1)[0].choices[0].text);
  }
  EXPECT_EQ(texts[0], LettersAfter(53, 100));
  EXPECT_EQ(texts[1], texts[0]);
  EXPECT_GT(engine_.Stats().accepted_draft_tokens, 0);
}

TEST_F(CallTest, ARefusedRequestNeverReachesTheEngine) {
  auto call = std::make_shared<SlowCall>(parts_, /*streams=*/true);
  call->Start("call", [] { return absl::InvalidArgumentError("field: wrong"); });
  EXPECT_TRUE(call->WaitForBatches(1)[0].refused.has_value());
  EXPECT_TRUE(absl::IsInvalidArgument(*call->end()));
}

TEST_F(CallTest, AClientThatLeavesBeforeSubmissionIsNotServed) {
  auto call = std::make_shared<SlowCall>(parts_, /*streams=*/true);
  call->Start("call", [&]() -> absl::StatusOr<ValidRequest> {
    running_.Notify();
    go_on_.WaitForNotification();
    return ValidText("hi", 400);
  });
  running_.WaitForNotification();
  call->ClientGone();
  go_on_.Notify();
  EXPECT_TRUE(call->WaitForBatches(1)[0].refused.has_value());
  EXPECT_TRUE(absl::IsCancelled(*call->end()));
}

TEST_F(CallTest, AClientThatLeavesEndsTheRequest) {
  executor_.step_ms = 2;
  auto call = std::make_shared<SlowCall>(parts_, /*streams=*/false);
  call->Start("call", [this] { return ValidText("hi", 400); });
  while (engine_.Stats().running_sequences == 0) absl::SleepFor(absl::Milliseconds(1));
  call->ClientGone();
  const std::vector<EventBatch> batches = call->WaitForBatches(1);
  ASSERT_TRUE(batches[0].finished);
  EXPECT_EQ(batches[0].finished->finish.reason, FinishReason::kCancelled);
  EXPECT_LT(batches[0].choices[0].tokens.size(), 400u);
  EXPECT_TRUE(absl::IsCancelled(*call->end()));
}

// A duplicate must not be able to end the request that owns the id.
TEST_F(CallTest, ADuplicateThatLeavesDoesNotCancelTheFirst) {
  executor_.step_ms = 1;
  auto first = std::make_shared<SlowCall>(parts_, /*streams=*/false);
  first->Start("call", [this] { return ValidText("hi", 50); });
  while (engine_.Stats().running_sequences == 0) absl::SleepFor(absl::Milliseconds(1));
  auto second = std::make_shared<SlowCall>(parts_, /*streams=*/false);
  second->Start("call", [this] { return ValidText("hi", 50); });
  second->WaitForBatches(1);
  EXPECT_TRUE(absl::IsAlreadyExists(*second->end()));
  second->ClientGone();
  EXPECT_EQ(first->WaitForBatches(1)[0].choices[0].tokens.size(), 50u);
}

TEST_F(CallTest, ACallThatIsStillTokenizedIsFoundByCancelAndKeepsItsId) {
  auto call = std::make_shared<SlowCall>(parts_, /*streams=*/true);
  call->Start("call", [&]() -> absl::StatusOr<ValidRequest> {
    running_.Notify();
    go_on_.WaitForNotification();
    return ValidText("hi", 400);
  });
  running_.WaitForNotification();
  auto second = std::make_shared<SlowCall>(parts_, /*streams=*/true);
  second->Start("call", [this] { return ValidText("hi", 1); });
  second->WaitForBatches(1);
  EXPECT_TRUE(absl::IsAlreadyExists(*second->end()));
  EXPECT_TRUE(calls_.Cancel("call"));
  go_on_.Notify();
  call->WaitForBatches(1);
  EXPECT_TRUE(absl::IsCancelled(*call->end()));
  EXPECT_EQ(executor_.live_sequences, 0);
  EXPECT_FALSE(calls_.Cancel("call"));
}

TEST_F(CallTest, ARequestWithoutAnIdIsFoundByTheOneMadeForIt) {
  executor_.step_ms = 2;
  auto call = std::make_shared<SlowCall>(parts_, /*streams=*/true);
  call->Start("", [this] { return ValidText("hi", 400); });
  call->WaitForBatches(1);
  EXPECT_TRUE(calls_.Cancel(call->id()));
  call->BatchSent();
  while (!call->end()) {
    absl::SleepFor(absl::Milliseconds(1));
    call->BatchSent();
  }
  EXPECT_TRUE(absl::IsCancelled(*call->end()));
}

TEST_F(CallTest, OnlyAFullLineIsWorthAnotherTry) {
  auto call = std::make_shared<SlowCall>(parts_, /*streams=*/true);
  call->Start("call", [this]() -> absl::StatusOr<ValidRequest> {
    absl::StatusOr<ValidRequest> valid = ValidText("hi", 1);
    valid->prompt = std::make_shared<const std::vector<TokenId>>(500, 1);  // 32 blocks.
    return valid;
  });
  call->WaitForBatches(1);
  EXPECT_TRUE(absl::IsResourceExhausted(*call->end())) << *call->end();
  EXPECT_EQ(RetryAfter(*call->end()), std::nullopt);
}

TEST_F(CallTest, AFullTextPoolRefusesAtOnce) {
  ASSERT_TRUE(text_pool_.TrySchedule([&] {
    running_.Notify();
    go_on_.WaitForNotification();
  }));
  running_.WaitForNotification();
  ASSERT_TRUE(text_pool_.TrySchedule([] {}));
  auto call = std::make_shared<SlowCall>(parts_, /*streams=*/true);
  call->Start("call", [this] { return ValidText("hi", 5); });
  call->WaitForBatches(1);
  EXPECT_TRUE(absl::IsResourceExhausted(*call->end()));
  EXPECT_NE(RetryAfter(*call->end()), std::nullopt);
  go_on_.Notify();
}

}  // namespace
}  // namespace hocket
