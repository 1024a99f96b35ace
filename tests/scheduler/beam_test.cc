// Beam search: sequences that step together and take over each other's tokens.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "stepped_scheduler.h"

namespace hocket {
namespace {

using ::testing::HasSubstr;
using ::testing::SizeIs;

RequestShape Beams(int32_t width, int32_t prompt_tokens, int32_t max_new_tokens) {
  return {.prompt = PromptOf(prompt_tokens),
          .max_new_tokens = max_new_tokens,
          .choices = width,
          .told_beams = (width + 1) / 2};
}

TEST(Beams, FollowTheirMovesToTheCandidatesThatASearchAloneFinds) {
  for (const bool prefix_cache : {false, true}) {
    for (const int32_t prompt_tokens : {1, 3, 4, 5, 12, 13}) {
      SchedulerSettings settings = SmallSettings();
      settings.prefix_cache = prefix_cache;
      SteppedScheduler stepped(settings);
      for (uint64_t seed = 0; seed < 10; ++seed) {
        RequestShape shape = Beams(2 + static_cast<int32_t>(seed) % 5, prompt_tokens, 25);
        shape.seed = seed;
        shape.may_stop = true;
        const RecordedRequest request(shape);
        ASSERT_TRUE(stepped.Add(request).ok());
        stepped.RunDry();
        ExpectOfflineAnswer(request);
        const Heard heard = request.sink->Get();
        EXPECT_EQ(heard.choices.size(), static_cast<size_t>(shape.choices));
        EXPECT_EQ(heard.outcomes, shape.choices) << "told once, at the end";
      }
      EXPECT_GT(stepped.executor.copied_blocks(), 0);
    }
  }
}

// Answers each row of a plan with a move.
StepResult Move(const StepPlan& plan, const std::vector<BeamMove>& moves) {
  StepResult result;
  for (size_t i = 0; i < plan.rows.size(); ++i) {
    Outcome& outcome = result.outcomes.emplace_back();
    outcome.sequence = plan.rows[i].sequence;
    if (plan.rows[i].samples) outcome.move = moves[i];
  }
  return result;
}

TEST(Beams, ShareTheirParentsBlocksAndCopyTheLastOneOnly) {
  SteppedScheduler stepped;
  const RecordedRequest request(Beams(3, 7, 20));
  ASSERT_TRUE(stepped.Add(request).ok());
  stepped.Step();
  const auto step = [&](const std::vector<BeamMove>& moves) {
    const StepPlan plan = stepped.scheduler.Plan(stepped.now);
    stepped.scheduler.CheckInvariants();
    StepResult result = Move(plan, moves);
    stepped.scheduler.Commit(absl::OkStatus(), result, stepped.now);
    stepped.scheduler.CheckInvariants();
    return PlanText(plan);
  };
  EXPECT_EQ(step({{0, 20}, {0, 21}, {0, 22}}),
            "step 2 copies 1>2 copies 1>3 row 1@6*[7]{0,2} row 2@6*[7]{0,3} row 3@6*[7]{0,1}");
  // Positions 0 .. 6 are the same for all, and held once but for what is written next.
  EXPECT_EQ(stepped.scheduler.Stats().used_blocks, 2);
  EXPECT_EQ(step({{1, 30}, {0, 31}, {2, 32}}),
            "step 3 copies 2>1 copies 2>3 row 1@7*[20]{0,1} row 2@7*[21]{0,3} row 3@7*[22]{0,2}");
  // The first two change places: nothing is copied, and each has the other's tokens.
  EXPECT_EQ(step({{0, 40}, {0, 41}, {0, 42}}),
            "step 4 row 1@8*[30]{0,3,4} row 2@8*[31]{0,1,5} row 3@8*[32]{0,2,6}");
  EXPECT_EQ(stepped.scheduler.Stats().used_blocks, 3) << "all follow the first";
  EXPECT_EQ(step({{0, 50}, {1, 51}, {2, 52}}),
            "step 5 copies 4>2 copies 4>6 row 1@9*[40]{0,3,2} row 2@9*[41]{0,3,6} "
            "row 3@9*[42]{0,3,4}");
  // Each its own parent: tables stay.
  EXPECT_EQ(step({{0, 60}, {1, 61}, {2, 62}}),
            "step 6 row 1@10*[50]{0,3,2} row 2@10*[51]{0,3,6} row 3@10*[52]{0,3,4}");
  EXPECT_EQ(request.sink->Get().outcomes, 0);
  stepped.scheduler.EndAll(FinishReason::kShutdown, stepped.now);
  EXPECT_EQ(request.sink->Get().finished.usage.generated_tokens, 0) << "none was told";
}

TEST(Beams, OfEightHoldAPromptOfAThousandTokensOnce) {
  SchedulerSettings settings = SmallSettings();
  settings.block_tokens = 16;
  settings.total_blocks = 62 + 8 * 2;
  settings.max_context_tokens = 2048;
  settings.max_step_tokens = 512;
  SteppedScheduler stepped(settings);
  const RecordedRequest request(Beams(8, 1000, 25));
  ASSERT_TRUE(stepped.Add(request).ok()) << "it just fits";
  int32_t most = 0;
  while (stepped.scheduler.HasWork()) {
    stepped.Step();
    most = std::max(most, stepped.scheduler.Stats().used_blocks);
  }
  // The 1,024 positions that are computed fill 64 blocks; 62 of them are the prompt's alone.
  EXPECT_LE(most, 62 + 8 * 2);
  EXPECT_GT(most, 62 + 8);
  EXPECT_EQ(stepped.executor.computed_tokens(), 999 + 8 * 25);
  ExpectOfflineAnswer(request, settings.max_context_tokens);
}

TEST(Beams, StepTogetherAlsoAfterAPreemptionInSmallSteps) {
  for (const bool prefix_cache : {false, true}) {
    SchedulerSettings settings = SmallSettings();
    settings.total_blocks = 22;
    settings.max_step_tokens = 5;
    settings.prefix_cache = prefix_cache;
    SteppedScheduler stepped(settings);  // Its executor checks that beams step together.
    const RecordedRequest old({.id = "old", .prompt = PromptOf(36, 70), .max_new_tokens = 28});
    RequestShape shape = Beams(4, 11, 18);
    shape.id = "beams";
    const RecordedRequest beams(shape);
    ASSERT_TRUE(stepped.Add(old).ok());
    ASSERT_TRUE(stepped.Add(beams).ok());
    stepped.RunDry();
    EXPECT_GT(stepped.scheduler.Stats().preemptions, 0);
    ExpectOfflineAnswer(old);
    ExpectOfflineAnswer(beams);
  }
}

TEST(Beams, FailWhereAMoveHasNoSuchParentOrIsMissing) {
  const auto reason_of = [](const std::vector<std::optional<BeamMove>>& moves) {
    SteppedScheduler stepped;
    const RecordedRequest request(Beams(2, 1, 9));
    EXPECT_TRUE(stepped.Add(request).ok());
    const StepPlan plan = stepped.scheduler.Plan(stepped.now);
    EXPECT_THAT(plan.rows, SizeIs(2));
    StepResult result = Move(plan, {{0, 5}, {0, 6}});
    for (size_t i = 0; i < moves.size(); ++i) result.outcomes[i].move = moves[i];
    stepped.scheduler.Commit(absl::OkStatus(), result, stepped.now);
    stepped.scheduler.CheckInvariants();
    EXPECT_EQ(request.sink->Get().reason(), FinishReason::kError);
    return std::string(request.sink->Get().finished.status.ToString());
  };
  EXPECT_THAT(reason_of({BeamMove{0, 5}, BeamMove{2, 6}}),
              HasSubstr("INTERNAL: the executor moved beam 1 to parent 2 of 2"));
  EXPECT_THAT(reason_of({BeamMove{-1, 5}, BeamMove{0, 6}}), HasSubstr("parent -1 of 2"));
  EXPECT_THAT(reason_of({BeamMove{0, 5}, std::nullopt}), HasSubstr("moved no beam"));
}

TEST(Beams, AreEndedAtTheirLimitsWhateverTheExecutorDoes) {
  SteppedScheduler stepped;
  const RecordedRequest request(Beams(2, 1, 2));
  ASSERT_TRUE(stepped.Add(request).ok());
  for (int i = 0; i < 2; ++i) {
    StepResult result = Move(stepped.scheduler.Plan(stepped.now), {{0, 5}, {0, 6}});
    stepped.scheduler.Commit(absl::OkStatus(), result, stepped.now);
  }
  EXPECT_EQ(request.sink->Get().reason(), FinishReason::kLength);
  EXPECT_THAT(request.sink->Get().choices, SizeIs(2));
  EXPECT_FALSE(stepped.scheduler.Stats().running_requests > 0);
}

}  // namespace
}  // namespace hocket
