#include "service/status.h"

#include <gtest/gtest.h>

namespace hocket {
namespace {

TEST(StatusTest, KeepsCodeAndMessage) {
  const grpc::Status status = ToGrpcStatus(absl::InvalidArgumentError("sampling.top_p: 2"));
  EXPECT_EQ(status.error_code(), grpc::StatusCode::INVALID_ARGUMENT);
  EXPECT_EQ(status.error_message(), "sampling.top_p: 2");
  EXPECT_TRUE(ToGrpcStatus(absl::OkStatus()).ok());
}

TEST(StatusTest, EveryCodeHasItsOwnAndBugsAreInternal) {
  const absl::StatusCode same[] = {
      absl::StatusCode::kCancelled,         absl::StatusCode::kInvalidArgument,
      absl::StatusCode::kDeadlineExceeded,  absl::StatusCode::kNotFound,
      absl::StatusCode::kAlreadyExists,     absl::StatusCode::kPermissionDenied,
      absl::StatusCode::kResourceExhausted, absl::StatusCode::kFailedPrecondition,
      absl::StatusCode::kUnimplemented,     absl::StatusCode::kUnavailable,
      absl::StatusCode::kUnauthenticated};
  for (absl::StatusCode code : same) {
    EXPECT_EQ(static_cast<int>(ToGrpcStatus(absl::Status(code, "m")).error_code()),
              static_cast<int>(code));
  }
  const absl::StatusCode bugs[] = {
      absl::StatusCode::kUnknown,  absl::StatusCode::kAborted,  absl::StatusCode::kOutOfRange,
      absl::StatusCode::kInternal, absl::StatusCode::kDataLoss, static_cast<absl::StatusCode>(99)};
  for (absl::StatusCode code : bugs) {
    EXPECT_EQ(ToGrpcStatus(absl::Status(code, "m")).error_code(), grpc::StatusCode::INTERNAL);
    EXPECT_EQ(StatusLabel(absl::Status(code, "m")), "internal");
  }
}

TEST(StatusTest, ARetryHintTravelsWithTheStatus) {
  const absl::Status status =
      WithRetryAfter(absl::ResourceExhaustedError("full"), absl::Milliseconds(1500));
  EXPECT_EQ(RetryAfter(status), absl::Milliseconds(1500));
  EXPECT_EQ(RetryAfter(absl::ResourceExhaustedError("never fits")), std::nullopt);
}

}  // namespace
}  // namespace hocket
