// Ended by a drain in the middle, gone on with elsewhere: the same answer as if it had never
// stopped.
#include <gtest/gtest.h>

#include "stepped_scheduler.h"

namespace hocket {
namespace {

TEST(Resume, GoesOnFromWhatADrainLeftAsIfItHadNeverStopped) {
  for (const int steps : {0, 1, 5, 11}) {
    const RequestShape shape{.prompt = PromptOf(6), .max_new_tokens = 15, .seed = 3};
    const RecordedRequest first(shape);
    SteppedScheduler stopping;
    ASSERT_TRUE(stopping.Add(first).ok());
    for (int i = 0; i < steps; ++i) stopping.Step();
    stopping.scheduler.EndAll(FinishReason::kShutdown, stopping.now);
    const Heard before = first.sink->Get();
    EXPECT_EQ(before.finished.generated, before.tokens);
    EXPECT_EQ(before.tokens.size(), static_cast<size_t>(steps));
    stopping.RunDry();

    RequestShape rest = shape;
    rest.resumed = before.finished.generated;
    const RecordedRequest second(rest);
    SteppedScheduler other_replica;
    ASSERT_TRUE(other_replica.Add(second).ok());
    other_replica.RunDry();
    ExpectOfflineAnswer(second);
    const FakeAnswer whole = OfflineAnswers(first.request, 64)[0];
    EXPECT_EQ(before.text + second.sink->Get().text, whole.text);
    EXPECT_EQ(second.sink->Get().finished.usage.generated_tokens, 15 - steps);
  }
}

TEST(Resume, ComputesWhatItIsGivenInOneGoAndFindsItInTheCache) {
  SchedulerSettings settings = SmallSettings();
  settings.prefix_cache = true;
  SteppedScheduler stepped(settings);
  const RequestShape shape{.prompt = PromptOf(6), .max_new_tokens = 20, .seed = 3};
  const RecordedRequest first(shape);
  ASSERT_TRUE(stepped.Add(first).ok());
  stepped.RunDry();
  RequestShape rest = shape;
  rest.resumed = first.sink->Get().tokens;
  rest.resumed.resize(12);
  const RecordedRequest second(rest);
  ASSERT_TRUE(stepped.Add(second).ok());
  EXPECT_EQ(stepped.Step().rows[0].first_position, 16) << "of 18 tokens, four blocks are cached";
  stepped.RunDry();
  ExpectOfflineAnswer(second);
}

}  // namespace
}  // namespace hocket
