// What a step is predicted to cost, learnt from steps of known cost.
#include "scheduler/step_time_model.h"

#include <gtest/gtest.h>

#include <cmath>
#include <random>

namespace hocket {
namespace {

// Seconds of a machine that the model can describe exactly.
double TrueSeconds(const StepLoad& load) {
  return 2e-3 + 3e-4 * load.decode_rows + 1e-4 * load.prefill_tokens +
         2e-8 * static_cast<double>(load.decode_positions) +
         3e-8 * static_cast<double>(load.prefill_positions);
}

StepLoad RandomLoad(std::mt19937_64& random) {
  StepLoad load;
  load.decode_rows = static_cast<int32_t>(random() % 32);
  load.decode_positions = load.decode_rows * static_cast<int64_t>(100 + random() % 2000);
  if (random() % 2 == 0) {
    load = load.WithPrefill(static_cast<int32_t>(random() % 4000),
                            1 + static_cast<int32_t>(random() % 512));
  }
  if (load.empty()) load.decode_rows = 1;
  return load;
}

TEST(StepLoad, CountsThePositionsThatPrefillReads) {
  const StepLoad load = StepLoad().WithPrefill(10, 3);
  EXPECT_EQ(load.prefill_tokens, 3);
  EXPECT_EQ(load.prefill_positions, 11 + 12 + 13);
}

TEST(StepTimeModel, KnowsNothingBeforeItHasSeenSteps) {
  StepTimeModel model;
  EXPECT_FALSE(model.fitted());
  EXPECT_EQ(model.PredictSeconds(StepLoad().WithPrefill(0, 100)), 0);
}

TEST(StepTimeModel, PredictsAMachineThroughNoiseWithinAFewPercent) {
  const uint64_t seed = std::random_device()();
  SCOPED_TRACE(testing::Message() << "seed " << seed);
  std::mt19937_64 random(seed);
  std::normal_distribution<> noise(1, 0.03);
  StepTimeModel model;
  for (int i = 0; i < 400; ++i) {
    const StepLoad load = RandomLoad(random);
    model.Learn(load, TrueSeconds(load) * noise(random));
  }
  ASSERT_TRUE(model.fitted());
  double error = 0;
  for (int i = 0; i < 200; ++i) {
    const StepLoad load = RandomLoad(random);
    error += std::abs(model.PredictSeconds(load) / TrueSeconds(load) - 1) / 200;
  }
  EXPECT_LT(error, 0.08);
}

TEST(StepTimeModel, RemembersWhatPrefillCostsThroughALongTimeOfDecoding) {
  StepTimeModel model;
  std::mt19937_64 random(7);
  for (int i = 0; i < 200; ++i) {
    const StepLoad load = RandomLoad(random);
    model.Learn(load, TrueSeconds(load));
  }
  StepLoad decode;
  decode.decode_rows = 8;
  for (int i = 0; i < 5000; ++i) {
    decode.decode_positions = 8 * (500 + i % 1000);
    model.Learn(decode, TrueSeconds(decode));
  }
  const StepLoad mixed = decode.WithPrefill(0, 256);
  EXPECT_NEAR(model.PredictSeconds(mixed) / TrueSeconds(mixed), 1, 0.1);
}

TEST(StepTimeModel, FollowsAMachineThatBecomesSlower) {
  StepTimeModel model;
  std::mt19937_64 random(7);
  for (int i = 0; i < 300; ++i) {
    const StepLoad load = RandomLoad(random);
    model.Learn(load, TrueSeconds(load));
  }
  for (int i = 0; i < 600; ++i) {
    const StepLoad load = RandomLoad(random);
    model.Learn(load, 4 * TrueSeconds(load));
  }
  const StepLoad load = RandomLoad(random);
  EXPECT_NEAR(model.PredictSeconds(load) / (4 * TrueSeconds(load)), 1, 0.1);
}

TEST(StepTimeModel, IsNotMovedByOneStepOutOfTheOrdinary) {
  StepTimeModel model;
  std::mt19937_64 random(7);
  for (int i = 0; i < 100; ++i) {
    const StepLoad load = RandomLoad(random);
    model.Learn(load, TrueSeconds(load));
  }
  const StepLoad load = RandomLoad(random);
  const double before = model.PredictSeconds(load);
  model.Learn(load, 100 * TrueSeconds(load));
  model.Learn(load, -1);
  EXPECT_EQ(model.PredictSeconds(load), before);
}

TEST(StepTimeModel, FindsTheMostPrefillThatFitsATime) {
  StepTimeModel model;
  std::mt19937_64 random(7);
  for (int i = 0; i < 300; ++i) {
    const StepLoad load = RandomLoad(random);
    model.Learn(load, TrueSeconds(load));
  }
  for (int i = 0; i < 300; ++i) {
    StepLoad load;
    load.decode_rows = static_cast<int32_t>(random() % 64);
    load.decode_positions = load.decode_rows * 700;
    const int32_t first_position = static_cast<int32_t>(random() % 8000);
    const double seconds = 1e-3 * static_cast<double>(random() % 100);
    const int32_t tokens = model.PrefillTokensWithin(seconds, load, first_position, 1000);
    ASSERT_GE(tokens, 0);
    if (tokens > 0) {
      EXPECT_LE(model.PredictSeconds(load.WithPrefill(first_position, tokens)), seconds + 1e-9);
    }
    if (tokens < 1000) {
      EXPECT_GT(model.PredictSeconds(load.WithPrefill(first_position, tokens + 1)), seconds - 1e-9);
    }
  }
}

}  // namespace
}  // namespace hocket
