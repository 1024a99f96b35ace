#include "service/engine_errors.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <string>

#include "scheduler/admission_gate.h"
#include "scheduler/finish.h"
#include "service/error_reasons.h"

namespace hocket {
namespace {

using ::testing::Contains;
using ::testing::Pair;

FinishedEvent Ended(FinishReason reason, absl::Status status) {
  FinishedEvent event;
  event.finish = FinishWith(reason);
  event.status = std::move(status);
  return event;
}

TEST(EngineErrorsTest, AFullLineAndATenantsLimitDiffer) {
  AdmissionLimits limits;
  limits.max_waiting_requests = 2;
  limits.max_tenant_requests = 1;
  AdmissionGate gate(limits);
  ASSERT_TRUE(gate.Enter("a", 1).ok());
  const absl::Status of_tenant = SubmitError(gate.Enter("a", 1), "a");
  EXPECT_EQ(ReasonOf(of_tenant), ErrorReason::kTenantLimit);
  EXPECT_THAT(MetadataOf(of_tenant), Contains(Pair("limit", "tenant_requests")));
  EXPECT_THAT(MetadataOf(of_tenant), Contains(Pair("tenant", "a")));
  EXPECT_EQ(RefusalOf(of_tenant), Refusal::kTenantRequests);
  ASSERT_TRUE(gate.Enter("b", 1).ok());
  const absl::Status of_all = SubmitError(gate.Enter("c", 1), "c");
  EXPECT_EQ(ReasonOf(of_all), ErrorReason::kQueueFull);
  EXPECT_THAT(MetadataOf(of_all), Contains(Pair("limit", "waiting_requests")));
}

TEST(EngineErrorsTest, WhatCannotBeTakenAtAllHasItsReason) {
  EXPECT_EQ(ReasonOf(SubmitError(absl::InvalidArgumentError("m"), "")),
            ErrorReason::kPromptTooLong);
  EXPECT_EQ(ReasonOf(SubmitError(absl::ResourceExhaustedError("m"), "")),
            ErrorReason::kRequestTooLarge);
  EXPECT_EQ(ReasonOf(SubmitError(absl::AlreadyExistsError("m"), "")), ErrorReason::kRequestIdInUse);
  EXPECT_EQ(ReasonOf(SubmitError(absl::UnavailableError("m"), "")), ErrorReason::kDraining);
  EXPECT_EQ(SubmitError(absl::OkStatus(), ""), absl::OkStatus());
}

TEST(EngineErrorsTest, AnAnswerCutShortNeverEndsWell) {
  const std::pair<FinishReason, ErrorReason> ends[] = {
      {FinishReason::kCancelled, ErrorReason::kCancelled},
      {FinishReason::kDeadline, ErrorReason::kDeadlinePassed},
      {FinishReason::kShutdown, ErrorReason::kShutdown},
      {FinishReason::kError, ErrorReason::kInternal}};
  for (const auto& [reason, told] : ends) {
    for (const absl::Status& status : {absl::OkStatus(), StatusOf(reason)}) {
      const absl::Status end = EndError(Ended(reason, status), /*constrained=*/false);
      EXPECT_EQ(ReasonOf(end), told);
      EXPECT_EQ(end.code(), RowOf(told).code);
    }
  }
  EXPECT_EQ(EndError(Ended(FinishReason::kLength, absl::OkStatus()), true), absl::OkStatus());
}

TEST(EngineErrorsTest, APredictedDeadlineIsToldApart) {
  const absl::Status end =
      EndError(Ended(FinishReason::kDeadline, DeadlinePredicted("in 3 s, by prediction")), false);
  EXPECT_EQ(ReasonOf(end), ErrorReason::kDeadlinePredicted);
  EXPECT_EQ(end.message(), "in 3 s, by prediction");
}

TEST(EngineErrorsTest, AFailedStepIsADefectUnlessItIsAboutTheRequest) {
  const absl::Status field =
      EndError(Ended(FinishReason::kError,
                     absl::InvalidArgumentError("resume.generated_tokens: the answer ends")),
               false);
  EXPECT_EQ(ReasonOf(field), ErrorReason::kInvalidField);
  EXPECT_THAT(MetadataOf(field), Contains(Pair("field", "resume.generated_tokens")));

  const absl::Status lost = absl::FailedPreconditionError("constraint: too complex");
  EXPECT_EQ(ReasonOf(EndError(Ended(FinishReason::kError, lost), true)),
            ErrorReason::kConstraintFailed);
  const absl::Status defect = EndError(Ended(FinishReason::kError, lost), false);
  EXPECT_EQ(ReasonOf(defect), ErrorReason::kInternal);
  EXPECT_TRUE(absl::IsInternal(defect));
}

}  // namespace
}  // namespace hocket
