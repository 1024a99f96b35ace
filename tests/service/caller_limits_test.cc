#include "service/caller_limits.h"

#include <gmock/gmock.h>
#include <google/protobuf/text_format.h>
#include <gtest/gtest.h>

#include <string>

#include "service/error_reasons.h"
#include "small_model.h"

namespace hocket {
namespace {

using ::testing::HasSubstr;

class CallerLimitsTest : public testing::Test {
 protected:
  absl::StatusOr<ValidRequest> Generate(const std::string& settings) {
    v1::GenerateRequest request;
    EXPECT_TRUE(google::protobuf::TextFormat::ParseFromString("text: 'x' " + settings, &request));
    return WithinLimits(caller_, request, validator_.Generate(request));
  }

  Caller caller_;
  ByteText text_;
  Validator validator_{"small", SmallModelInfo(), &text_, 1 << 20};
};

TEST_F(CallerLimitsTest, WithoutLimitsNothingChanges) {
  const absl::StatusOr<ValidRequest> valid = Generate(
      "scheduling { priority: PRIORITY_CLASS_INTERACTIVE } stopping { max_new_tokens: 9 }");
  ASSERT_TRUE(valid.ok()) << valid.status();
  EXPECT_EQ(valid->scheduling.priority, PriorityClass::kInteractive);
  EXPECT_EQ(valid->max_new_tokens, 9);
  EXPECT_EQ(Generate("")->scheduling.priority, PriorityClass::kStandard);
}

TEST_F(CallerLimitsTest, TheCallersClassIsTheDefaultAndIsEchoed) {
  caller_.default_priority = PriorityClass::kBatch;
  const absl::StatusOr<ValidRequest> valid = Generate("");
  ASSERT_TRUE(valid.ok());
  EXPECT_EQ(valid->scheduling.priority, PriorityClass::kBatch);
  EXPECT_EQ(valid->effective.scheduling().priority(), v1::PRIORITY_CLASS_BATCH);
  EXPECT_EQ(Generate("scheduling { priority: PRIORITY_CLASS_STANDARD }")->scheduling.priority,
            PriorityClass::kStandard);
  v1::ScoreRequest score;
  score.set_text("x");
  EXPECT_EQ(WithinLimits(caller_, validator_.Score(score))->scheduling.priority,
            PriorityClass::kBatch);
}

TEST_F(CallerLimitsTest, AClassAboveTheHighestIsRefusedAndNeverTheDefault) {
  caller_.highest_priority = PriorityClass::kBatch;
  EXPECT_EQ(Generate("")->scheduling.priority, PriorityClass::kBatch);
  for (const char* name : {"PRIORITY_CLASS_INTERACTIVE", "PRIORITY_CLASS_STANDARD"}) {
    const absl::Status status =
        Generate(std::string("scheduling { priority: ") + name + " }").status();
    EXPECT_TRUE(absl::IsPermissionDenied(status)) << status;
    EXPECT_EQ(ReasonOf(status), ErrorReason::kPriorityNotAllowed);
    EXPECT_THAT(std::string(status.message()), HasSubstr(name));
  }
  EXPECT_TRUE(Generate("scheduling { priority: PRIORITY_CLASS_BATCH }").ok());
}

TEST_F(CallerLimitsTest, MoreTokensThanTheCallerMayHaveAreRefused) {
  caller_.max_new_tokens = 100;
  const absl::Status status = Generate("stopping { max_new_tokens: 101 }").status();
  EXPECT_THAT(std::string(status.message()),
              HasSubstr("stopping.max_new_tokens: 101 is out of range [0, 100]"));
  EXPECT_EQ(Generate("stopping { max_new_tokens: 100 }")->max_new_tokens, 100);
}

TEST_F(CallerLimitsTest, TheDefaultStaysWithinTheCallersLimitEverywhere) {
  caller_.max_new_tokens = 100;
  const absl::StatusOr<ValidRequest> valid = Generate("");
  ASSERT_TRUE(valid.ok()) << valid.status();
  EXPECT_EQ(valid->max_new_tokens, 100);
  EXPECT_EQ(valid->spec->stopping.max_new_tokens, 100);
  EXPECT_EQ(valid->effective.stopping().max_new_tokens(), 100);
  EXPECT_THAT(std::string(Generate("stopping { min_new_tokens: 101 }").status().message()),
              HasSubstr("stopping.min_new_tokens: 101 is out of range [0, 100]"));
}

}  // namespace
}  // namespace hocket
