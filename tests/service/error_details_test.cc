#include "service/error_details.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <optional>
#include <string>

#include "absl/strings/str_cat.h"
#include "absl/time/time.h"
#include "google/rpc/error_details.pb.h"
#include "google/rpc/status.pb.h"
#include "service/error_reasons.h"
#include "service/field_checks.h"
#include "service/status.h"

namespace hocket {
namespace {

using ::testing::EndsWith;
using ::testing::UnorderedElementsAre;

google::rpc::Status DetailsOf(const absl::Status& status) {
  const grpc::Status told = ToGrpcStatus(status);
  google::rpc::Status details;
  EXPECT_TRUE(details.ParseFromString(told.error_details()));
  EXPECT_EQ(details.code(), static_cast<int>(told.error_code()));
  EXPECT_EQ(details.message(), told.error_message());
  return details;
}

template <typename Detail>
std::optional<Detail> Find(const google::rpc::Status& details) {
  Detail found;
  for (const google::protobuf::Any& any : details.details()) {
    if (any.UnpackTo(&found)) return found;
  }
  return std::nullopt;
}

TEST(ErrorDetailsTest, EveryErrorNamesItsReason) {
  for (const ErrorReasonRow& row : ErrorReasons()) {
    const google::rpc::Status details = DetailsOf(ReasonError(row.reason, "why"));
    const auto info = Find<google::rpc::ErrorInfo>(details);
    ASSERT_TRUE(info) << row.name;
    EXPECT_EQ(info->reason(), std::string(row.name));
    EXPECT_EQ(info->domain(), "hocket");
    EXPECT_FALSE(Find<google::rpc::RetryInfo>(details)) << row.name;
  }
  EXPECT_EQ(ToGrpcStatus(absl::OkStatus()).error_details(), "");
}

TEST(ErrorDetailsTest, AWrongFieldIsAViolation) {
  const google::rpc::Status details = DetailsOf(CheckInt("sampling.top_k", -1, 0, 9));
  const auto bad = Find<google::rpc::BadRequest>(details);
  ASSERT_TRUE(bad);
  ASSERT_EQ(bad->field_violations_size(), 1);
  EXPECT_EQ(bad->field_violations(0).field(), "sampling.top_k");
  EXPECT_EQ(bad->field_violations(0).description(), "-1 is out of range [0, 9]");
  EXPECT_EQ(Find<google::rpc::ErrorInfo>(details)->metadata().at("field"), "sampling.top_k");
  EXPECT_FALSE(Find<google::rpc::BadRequest>(DetailsOf(NotImplemented("adapter"))));
}

TEST(ErrorDetailsTest, WhereWaitingHelpsTheTimeIsTold) {
  const google::rpc::Status details = DetailsOf(
      WithRetryAfter(ReasonError(ErrorReason::kQueueFull, "full"), absl::Milliseconds(1250)));
  const auto retry = Find<google::rpc::RetryInfo>(details);
  ASSERT_TRUE(retry);
  EXPECT_EQ(retry->retry_delay().seconds(), 1);
  EXPECT_EQ(retry->retry_delay().nanos(), 250'000'000);
  EXPECT_FALSE(Find<google::rpc::QuotaFailure>(details));
}

TEST(ErrorDetailsTest, ATenantsLimitIsAQuota) {
  absl::Status status = ReasonError(ErrorReason::kTenantLimit, "4 requests wait");
  status = WithMetadata(WithMetadata(status, kTenantKey, "acme"), kLimitKey, "tenant_requests");
  const google::rpc::Status details = DetailsOf(status);
  const auto quota = Find<google::rpc::QuotaFailure>(details);
  ASSERT_TRUE(quota);
  EXPECT_EQ(quota->violations(0).subject(), "tenant:acme");
  EXPECT_EQ(quota->violations(0).description(), "4 requests wait");
  EXPECT_EQ(Find<google::rpc::ErrorInfo>(details)->metadata().at("limit"), "tenant_requests");
}

TEST(ErrorDetailsTest, WhatCannotBeSentIsCutAndCleaned) {
  EXPECT_EQ(SendableMessage("plain \xE2\x82\xAC"), "plain \xE2\x82\xAC");
  EXPECT_EQ(SendableMessage("a\xFF"
                            "b\xE2\x82"),
            "a?b??");
  const std::string all(kMaxErrorMessageBytes, 'x');
  EXPECT_EQ(SendableMessage(all), all);
  const std::string cut = SendableMessage(absl::StrCat(all, "y"));
  EXPECT_EQ(cut.size(), kMaxErrorMessageBytes);
  EXPECT_THAT(cut, EndsWith("x..."));
  // The euro sign does not fit before the dots.
  const std::string half =
      absl::StrCat(std::string(kMaxErrorMessageBytes - 4, 'x'), "\xE2\x82\xAC", "yyy");
  EXPECT_THAT(SendableMessage(half), EndsWith("x?..."));
  const google::rpc::Status details = DetailsOf(FieldError("text\xFF", "\xFF is wrong"));
  EXPECT_EQ(details.message(), "text?: ? is wrong");
}

TEST(ErrorDetailsTest, TheLargestErrorFitsWhatClientsTake) {
  std::string rude;
  while (rude.size() < 10000) rude += "\xE2\x82\xAC";
  absl::Status status = FieldError(rude, rude);
  for (const absl::string_view key : {kLimitKey, kModelKey, kTenantKey}) {
    status = WithMetadata(status, key, rude);
  }
  const grpc::Status told = ToGrpcStatus(status);
  // The message is percent-encoded, the details are base64.
  EXPECT_LT(3 * told.error_message().size() + told.error_details().size() * 4 / 3, 8192u - 512);
}

}  // namespace
}  // namespace hocket
