#include "runtime/model/plan_check.h"

#include <functional>

#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "tests/runtime/model/decoder_harness.h"

namespace hocket {
namespace {

const PlanLimits kLimits{100, 64, 32, 16, 10};

StepPlan GoodPlan() {
  StepPlan plan;
  plan.rows.push_back({1, 14, 0, 3, 0, 2, true});
  plan.rows.push_back({2, 0, 3, 2, 2, 1, false});
  plan.tokens = {1, 2, 3, 99, 0};
  plan.blocks = {4, 9, 0};
  plan.copies = {{4, 5}};
  return plan;
}

TEST(PlanCheck, AcceptsAGoodPlan) {
  EXPECT_TRUE(CheckPlan(kLimits, GoodPlan(), std::vector<int32_t>{0, 2, 4}).ok());
  EXPECT_TRUE(CheckPlan(kLimits, StepPlan(), {}).ok());
}

TEST(PlanCheck, NamesWhatIsOutOfRange) {
  struct Case {
    std::function<void(StepPlan&)> spoil;
    std::string named;
  };
  const std::vector<Case> cases = {
      {[](StepPlan& p) { p.tokens[1] = 100; }, "token id is 100"},
      {[](StepPlan& p) { p.tokens[1] = -1; }, "token id is -1"},
      {[](StepPlan& p) { p.blocks[1] = 10; }, "block is 10"},
      {[](StepPlan& p) { p.blocks[0] = -3; }, "block is -3"},
      {[](StepPlan& p) { p.rows[0].first_position = 62; }, "position is 64"},
      {[](StepPlan& p) { p.rows[0].first_position = -1; }, "position is -1"},
      {[](StepPlan& p) { p.rows[0].block_count = 1; }, "block_count is 1"},
      {[](StepPlan& p) { p.rows[1].block_count = 2; }, "block table end is 4"},
      {[](StepPlan& p) { p.rows[1].block_begin = -1; }, "block table end"},
      {[](StepPlan& p) { p.rows[0].token_count = 0; }, "token_count is 0"},
      {[](StepPlan& p) { p.rows[1].token_begin = 2; }, "token_begin is 2"},
      {[](StepPlan& p) { p.rows[1].token_count = 3; }, "last token is 6"},
      {[](StepPlan& p) { p.rows.pop_back(); }, "number of tokens in rows is 3"},
      {[](StepPlan& p) { p.copies[0].target = 10; }, "block copy's end is 10"},
      {[](StepPlan& p) { p.copies[0].source = -1; }, "block copy's end is -1"},
      {[](StepPlan& p) { p.tokens.resize(33); }, "token count is 33"},
  };
  for (const Case& c : cases) {
    StepPlan plan = GoodPlan();
    c.spoil(plan);
    const absl::Status status = CheckPlan(kLimits, plan, {});
    EXPECT_EQ(status.code(), absl::StatusCode::kInvalidArgument) << c.named;
    EXPECT_THAT(std::string(status.message()), testing::HasSubstr(c.named));
  }
  for (const std::vector<int32_t>& outputs : {std::vector<int32_t>{5}, {1, 1}, {2, 1}, {-1}}) {
    EXPECT_FALSE(CheckPlan(kLimits, GoodPlan(), outputs).ok());
  }
}

TEST(PlanCheck, ARefusedStepWritesNothing) {
  const auto decoder = LoadDecoder(SmallSettings(FixtureFolder("llama-gqa"), Precision::kF32));
  const auto tokens = SomeTokens(40, 301, 5);
  Line expected = MakeLine(tokens, 10);
  RunAlone(*decoder, expected, {40});

  Line line = MakeLine(tokens, 0);
  Step(*decoder, {{&line, 20}});
  StepPlan bad;
  bad.copies = {{15, 0}};
  bad.rows = {{1, 0, 0, 1, 0, 1, true}, {2, 0, 1, 1, 1, 1, true}};
  bad.tokens = {7, 301};
  bad.blocks = {0, 1};
  const auto refused = decoder->Forward(bad, {});
  EXPECT_EQ(refused.status().code(), absl::StatusCode::kInvalidArgument);
  Step(*decoder, {{&line, 20}});
  EXPECT_EQ(line.logits, expected.logits);
}

TEST(PlanCheck, LogitsOfTheWrongSizeAreRefused) {
  const auto decoder = LoadDecoder(SmallSettings(FixtureFolder("llama-gqa"), Precision::kF32));
  std::vector<float> hidden(48), logits(300);
  EXPECT_EQ(decoder->Logits(hidden, 1, std::span(logits)).code(),
            absl::StatusCode::kInvalidArgument);
}

}  // namespace
}  // namespace hocket
