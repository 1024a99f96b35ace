// What is measured before a model serves, on executors that take a known time.
#include "service/step_probe.h"

#include <gtest/gtest.h>

#include <set>

#include "absl/time/clock.h"
#include "small_model.h"

namespace hocket {
namespace {

SchedulerSettings Settings() {
  SchedulerSettings settings;
  settings.total_blocks = 64;
  settings.max_context_tokens = 1024;
  return settings;
}

// Checks what a real executor would: that rows have their blocks, and nobody else's.
class CheckingExecutor final : public Executor {
 public:
  explicit CheckingExecutor(const SchedulerSettings& settings) : settings_(settings) {}

  absl::Status Execute(const StepPlan& plan, StepResult& result) override {
    std::set<BlockId> blocks;
    for (const PlanRow& row : plan.rows) {
      EXPECT_GE(row.block_count * settings_.block_tokens, row.first_position + row.token_count);
      EXPECT_LE(row.token_count, settings_.max_step_tokens);
      for (const BlockId block : plan.RowBlocks(row)) {
        EXPECT_LT(block, settings_.total_blocks);
        EXPECT_TRUE(blocks.insert(block).second);
      }
    }
    EXPECT_LE(plan.rows.size(), static_cast<size_t>(settings_.max_running_sequences));
    return letters.Execute(plan, result);
  }

  LetterExecutor letters;

 private:
  const SchedulerSettings settings_;
};

TEST(ProbeSteps, MeasuresDecodeAndPrefillAndLeavesNothingBehind) {
  CheckingExecutor executor(Settings());
  executor.letters.step_ms = 5;
  const absl::StatusOr<StepProbe> probe = ProbeSteps(Settings(), &executor);
  ASSERT_TRUE(probe.ok()) << probe.status();
  EXPECT_EQ(executor.letters.live_sequences, 0);
  EXPECT_GE(probe->decode_step, absl::Milliseconds(5));
  StepTimeModel model;
  bool prefills = false;
  for (const MeasuredStep& step : probe->steps) {
    EXPECT_GE(step.seconds, 0.005);
    prefills |= step.load.prefill_tokens > 0;
    model.Learn(step.load, step.seconds);
  }
  EXPECT_TRUE(prefills);
  EXPECT_TRUE(model.fitted());
}

TEST(ProbeSteps, KeepsSmallLimits) {
  for (const int32_t tokens : {1, 8, 20, 64}) {
    SchedulerSettings settings = Settings();
    settings.max_step_tokens = tokens;
    settings.max_running_sequences = 2;
    settings.total_blocks = 3;
    settings.max_context_tokens = 40;
    CheckingExecutor executor(settings);
    EXPECT_TRUE(ProbeSteps(settings, &executor).ok()) << tokens;
    EXPECT_EQ(executor.letters.live_sequences, 0);
  }
}

TEST(ProbeSteps, ReportsAnExecutorThatFails) {
  LetterExecutor executor;
  executor.fail_rows = true;
  EXPECT_FALSE(ProbeSteps(Settings(), &executor).ok());
  EXPECT_EQ(executor.live_sequences, 0);
}

TEST(DefaultTarget, IsSixDecodeStepsWithinItsRange) {
  StepProbe probe;
  EXPECT_EQ(DefaultTarget(probe), absl::ZeroDuration()) << "nothing was measured";
  probe.steps.emplace_back();
  probe.decode_step = absl::Milliseconds(20);
  EXPECT_EQ(DefaultTarget(probe), absl::Milliseconds(120));
  probe.decode_step = absl::Milliseconds(1);
  EXPECT_EQ(DefaultTarget(probe), absl::Milliseconds(60));
  probe.decode_step = absl::Seconds(3);
  EXPECT_EQ(DefaultTarget(probe), absl::Seconds(1));
}

}  // namespace
}  // namespace hocket
