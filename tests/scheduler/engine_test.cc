// The engine's thread: what callers on other threads may rely on. Run it under ThreadSanitizer too.
#include "scheduler/engine.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <atomic>
#include <condition_variable>
#include <mutex>
#include <thread>
#include <vector>

#include "absl/time/clock.h"
#include "fake_executor.h"
#include "stepped_scheduler.h"

namespace hocket {
namespace {

using ::testing::HasSubstr;

// Lets a test hold the engine inside Execute.
class GatedExecutor final : public Executor {
 public:
  explicit GatedExecutor(const SchedulerSettings& settings) : fake(settings) {}

  absl::Status Execute(const StepPlan& plan, StepResult& result) override {
    std::unique_lock lock(mutex_);
    ++entered_;
    changed_.notify_all();
    changed_.wait(lock, [this] { return allowed_ > 0; });
    --allowed_;
    return fake.Execute(plan, result);
  }

  void Allow(int64_t steps) {
    std::lock_guard lock(mutex_);
    allowed_ += steps;
    changed_.notify_all();
  }
  void WaitUntilEntered(int64_t steps) {
    std::unique_lock lock(mutex_);
    changed_.wait(lock, [&] { return entered_ >= steps; });
  }

  FakeExecutor fake;

 private:
  std::mutex mutex_;
  std::condition_variable changed_;
  int64_t entered_ = 0;
  int64_t allowed_ = 0;
};

constexpr int64_t kFreely = 1'000'000'000;

class CountingObserver final : public EngineObserver {
 public:
  void OnStep(const StepObservation& observation) override {
    ++steps;
    decode_rows += observation.decode_rows;
    prefill_tokens += observation.prefill_tokens;
    last_running = observation.stats.running_sequences;
  }
  std::atomic<int64_t> steps = 0;
  std::atomic<int64_t> decode_rows = 0;
  std::atomic<int64_t> prefill_tokens = 0;
  std::atomic<int32_t> last_running = -1;
};

TEST(Engine, AnswersRequestsFromManyThreads) {
  FakeExecutor executor(SmallSettings());
  std::vector<RecordedRequest> requests;
  for (int i = 0; i < 64; ++i) {
    requests.emplace_back(
        RequestShape{.id = std::to_string(i), .max_new_tokens = 20, .seed = 7u + i});
  }
  {
    SchedulerSettings settings = SmallSettings();
    settings.admission.max_waiting_requests = 64;
    Engine engine(settings, &executor, nullptr);
    std::vector<std::thread> clients;
    for (int client = 0; client < 4; ++client) {
      clients.emplace_back([&, client] {
        for (int i = client; i < 64; i += 4) {
          EXPECT_TRUE(engine.Submit(requests[i].Copy()).ok());
        }
      });
    }
    for (std::thread& client : clients) client.join();
    for (const RecordedRequest& request : requests) request.sink->WaitForEnd();
  }
  for (const RecordedRequest& request : requests) ExpectOfflineAnswer(request);
  EXPECT_TRUE(executor.violations().empty());
  EXPECT_EQ(executor.live_sequences(), 0u);
}

TEST(Engine, CountsTheInboxAgainstTheWaitingLimitAndRefusesAtOnce) {
  SchedulerSettings settings = SmallSettings();
  settings.max_running_sequences = 1;
  settings.admission.max_waiting_requests = 2;
  GatedExecutor executor(settings);
  Engine engine(settings, &executor, nullptr);
  std::vector<RecordedRequest> requests;
  for (int i = 0; i < 4; ++i) requests.emplace_back(RequestShape{.id = std::to_string(i)});
  ASSERT_TRUE(engine.Submit(requests[0].Copy()).ok());
  executor.WaitUntilEntered(1);
  ASSERT_TRUE(engine.Submit(requests[1].Copy()).ok());
  ASSERT_TRUE(engine.Submit(requests[2].Copy()).ok());
  EXPECT_EQ(engine.Stats().waiting_requests, 2);
  const absl::Status full = engine.Submit(requests[3].Copy());
  EXPECT_EQ(full.code(), absl::StatusCode::kResourceExhausted);
  EXPECT_THAT(full.message(), HasSubstr("2 requests are waiting, and the limit is 2"));
  executor.Allow(kFreely);
  for (int i = 0; i < 3; ++i) requests[i].sink->WaitForEnd();
  EXPECT_EQ(requests[3].sink->Get().finished_events, 0);
  EXPECT_TRUE(engine.Submit(requests[3].Copy()).ok());
  ExpectOfflineAnswer(requests[0]);
  requests[3].sink->WaitForEnd();
}

TEST(Engine, RefusesAtOnceWhatCannotFitAndAnIdThatIsHeld) {
  GatedExecutor executor(SmallSettings());
  Engine engine(SmallSettings(), &executor, nullptr);
  EXPECT_EQ(engine.Submit(RecordedRequest({.prompt = PromptOf(100)}).Copy()).code(),
            absl::StatusCode::kInvalidArgument);
  const RecordedRequest request({.id = "a"});
  ASSERT_TRUE(engine.Submit(request.Copy()).ok());
  EXPECT_EQ(engine.Submit(RecordedRequest({.id = "a"}).Copy()).code(),
            absl::StatusCode::kAlreadyExists);
  executor.Allow(kFreely);
  request.sink->WaitForEnd();
  const RecordedRequest again({.id = "a"});
  EXPECT_TRUE(engine.Submit(again.Copy()).ok()) << "the id is free once its end was heard";
  again.sink->WaitForEnd();
}

TEST(Engine, CancelTakesEffectBeforeTheNextPlan) {
  GatedExecutor executor(SmallSettings());
  Engine engine(SmallSettings(), &executor, nullptr);
  const RecordedRequest request({.id = "a", .max_new_tokens = 40});
  const RecordedRequest other({.id = "b", .max_new_tokens = 10});
  ASSERT_TRUE(engine.Submit(request.Copy()).ok());
  executor.WaitUntilEntered(1);
  executor.Allow(4);
  executor.WaitUntilEntered(5);  // The fifth step is in hand.
  ASSERT_TRUE(engine.Submit(other.Copy()).ok());
  EXPECT_TRUE(engine.Cancel("a"));
  EXPECT_TRUE(engine.Cancel("a")) << "still held until the step in hand is over";
  EXPECT_FALSE(engine.Cancel("nobody"));
  executor.Allow(1);
  const Heard heard = request.sink->WaitForEnd();
  EXPECT_EQ(heard.reason(), FinishReason::kCancelled);
  EXPECT_EQ(heard.tokens.size(), 5u);
  EXPECT_FALSE(engine.Cancel("a"));
  executor.Allow(kFreely);
  other.sink->WaitForEnd();
  ExpectOfflineAnswer(other);
}

TEST(Engine, EndsARequestWhoseDeadlinePasses) {
  std::atomic<int64_t> seconds = 0;
  GatedExecutor executor(SmallSettings());
  Engine engine(SmallSettings(), &executor, nullptr,
                [&] { return absl::UnixEpoch() + absl::Seconds(seconds.load()); });
  const RecordedRequest request(
      {.max_new_tokens = 40, .deadline = absl::UnixEpoch() + absl::Seconds(10)});
  ASSERT_TRUE(engine.Submit(request.Copy()).ok());
  executor.WaitUntilEntered(1);
  executor.Allow(1);
  executor.WaitUntilEntered(2);
  seconds = 10;
  executor.Allow(1);
  const Heard heard = request.sink->WaitForEnd();
  EXPECT_EQ(heard.reason(), FinishReason::kDeadline);
  EXPECT_EQ(heard.tokens.size(), 2u);
  executor.Allow(kFreely);
}

TEST(Engine, DrainRefusesNewRequestsAndWaitsForThoseHeld) {
  FakeExecutor executor(SmallSettings());
  Engine engine(SmallSettings(), &executor, nullptr);
  std::vector<RecordedRequest> requests;
  for (int i = 0; i < 10; ++i) {
    requests.emplace_back(RequestShape{.id = std::to_string(i), .max_new_tokens = 30});
    ASSERT_TRUE(engine.Submit(requests.back().Copy()).ok());
  }
  EXPECT_EQ(engine.Drain(absl::InfiniteFuture()), 0);
  for (const RecordedRequest& request : requests) ExpectOfflineAnswer(request);
  EXPECT_EQ(engine.Submit(RecordedRequest({.id = "late"}).Copy()).code(),
            absl::StatusCode::kUnavailable);
  EXPECT_EQ(engine.Drain(absl::InfiniteFuture()), 0) << "draining twice is harmless";
}

TEST(Engine, DrainEndsWhatIsLeftAtItsDeadline) {
  SchedulerSettings settings = SmallSettings();
  settings.max_running_sequences = 1;
  GatedExecutor executor(settings);
  Engine engine(settings, &executor, nullptr);
  const RecordedRequest running({.id = "running", .max_new_tokens = 40});
  const RecordedRequest waiting({.id = "waiting", .max_new_tokens = 40});
  ASSERT_TRUE(engine.Submit(running.Copy()).ok());
  ASSERT_TRUE(engine.Submit(waiting.Copy()).ok());
  executor.WaitUntilEntered(1);
  executor.Allow(3);
  executor.WaitUntilEntered(4);
  std::thread later([&] {
    absl::SleepFor(absl::Milliseconds(50));
    executor.Allow(1);
  });
  EXPECT_EQ(engine.Drain(absl::Now()), 2);
  later.join();
  EXPECT_EQ(running.sink->Get().reason(), FinishReason::kShutdown);
  EXPECT_EQ(running.sink->Get().tokens.size(), 4u);
  EXPECT_EQ(waiting.sink->Get().reason(), FinishReason::kShutdown);
  executor.Allow(kFreely);
}

TEST(Engine, ItsDestructorEndsWhatItHoldsWithShutdown) {
  FakeExecutor executor(SmallSettings());
  std::vector<RecordedRequest> requests;
  for (int i = 0; i < 16; ++i) {
    requests.emplace_back(RequestShape{.id = std::to_string(i), .max_new_tokens = 60});
  }
  {
    Engine engine(SmallSettings(), &executor, nullptr);
    for (const RecordedRequest& request : requests) {
      ASSERT_TRUE(engine.Submit(request.Copy()).ok());
    }
  }
  for (const RecordedRequest& request : requests) {
    const Heard heard = request.sink->Get();
    EXPECT_EQ(heard.finished_events, 1);
    if (heard.reason() == FinishReason::kShutdown) {
      EXPECT_EQ(heard.finished.status.code(), absl::StatusCode::kUnavailable);
    } else {
      ExpectOfflineAnswer(request);
    }
  }
  EXPECT_EQ(executor.live_sequences(), 0u) << "the executor heard of every end";
}

TEST(Engine, ShowsItsObserverEveryStep) {
  FakeExecutor executor(SmallSettings());
  CountingObserver observer;
  {
    Engine engine(SmallSettings(), &executor, &observer);
    const RecordedRequest request({.prompt = PromptOf(5), .max_new_tokens = 7});
    ASSERT_TRUE(engine.Submit(request.Copy()).ok());
    request.sink->WaitForEnd();
  }
  EXPECT_EQ(observer.prefill_tokens, 5);
  EXPECT_EQ(observer.decode_rows, 6);
  EXPECT_EQ(observer.steps, 8);  // The last one only tells the executor of the end.
  EXPECT_EQ(observer.last_running, 0);
}

TEST(Engine, ReportsProgressWhileIdleAndItsLackWhileAStepHangs) {
  std::atomic<int64_t> seconds = 0;
  GatedExecutor executor(SmallSettings());
  Engine engine(SmallSettings(), &executor, nullptr,
                [&] { return absl::UnixEpoch() + absl::Seconds(seconds.load()); });
  seconds = 100;
  EXPECT_EQ(engine.LastProgress(), absl::UnixEpoch() + absl::Seconds(100)) << "idle is healthy";
  const RecordedRequest request({.max_new_tokens = 2});
  ASSERT_TRUE(engine.Submit(request.Copy()).ok());
  executor.WaitUntilEntered(1);
  seconds = 200;
  EXPECT_EQ(engine.LastProgress(), absl::UnixEpoch() + absl::Seconds(100));
  executor.Allow(kFreely);
  request.sink->WaitForEnd();
}

TEST(Engine, KeepsItsPromisesWhileManyThreadsSubmitAndCancel) {
  SchedulerSettings settings = SmallSettings();
  settings.total_blocks = 24;
  FakeExecutor executor(settings);
  std::atomic<int> admitted = 0;
  std::mutex mutex;
  std::vector<RecordedRequest> held;
  {
    Engine engine(settings, &executor, nullptr);
    std::vector<std::thread> clients;
    for (int client = 0; client < 4; ++client) {
      clients.emplace_back([&, client] {
        for (int i = 0; i < 200; ++i) {
          const std::string id = std::to_string(client) + "-" + std::to_string(i);
          const RecordedRequest request({.id = id, .max_new_tokens = 1 + i % 40});
          const absl::Status status = engine.Submit(request.Copy());
          if (status.code() == absl::StatusCode::kResourceExhausted) continue;
          EXPECT_TRUE(status.ok()) << status;
          ++admitted;
          if (i % 3 == 0) engine.Cancel(id);
          if (i % 7 == 0) request.sink->WaitForTokens(2);
          std::lock_guard lock(mutex);
          held.push_back(request);
        }
      });
    }
    for (std::thread& client : clients) client.join();
    engine.Drain(absl::InfiniteFuture());
    EXPECT_EQ(engine.Stats().used_blocks, 0);
  }
  EXPECT_EQ(static_cast<int>(held.size()), admitted);
  for (const RecordedRequest& request : held) {
    const Heard heard = request.sink->Get();
    ASSERT_EQ(heard.finished_events, 1);
    if (heard.reason() != FinishReason::kCancelled) ExpectOfflineAnswer(request);
  }
  EXPECT_TRUE(executor.violations().empty());
}

}  // namespace
}  // namespace hocket
