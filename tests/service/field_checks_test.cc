#include "service/field_checks.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <limits>
#include <string>

#include "service/caller.h"

namespace hocket {
namespace {

using ::testing::Contains;
using ::testing::Pair;

constexpr double kInfinity = std::numeric_limits<double>::infinity();
constexpr double kNan = std::numeric_limits<double>::quiet_NaN();

void ExpectAbout(const absl::Status& status, ErrorReason reason, const std::string& field) {
  EXPECT_EQ(ReasonOf(status), reason) << status;
  EXPECT_THAT(MetadataOf(status), Contains(Pair("field", field)));
  EXPECT_EQ(status.message().substr(0, field.size() + 2), field + ": ");
}

TEST(FieldChecksTest, NumbersStayInTheirRanges) {
  EXPECT_TRUE(CheckInt("a.b", 3, 3, 3).ok());
  EXPECT_EQ(CheckInt("a.b", 4, 3, 3).message(), "a.b: 4 is out of range [3, 3]");
  EXPECT_TRUE(CheckFloat("f", 1, 0, 1).ok());
  EXPECT_FALSE(CheckFloat("f", 0, 0, 1, /*low_open=*/true).ok());
  for (const double value : {kNan, kInfinity, -kInfinity, 1.5, -0.5}) {
    ExpectAbout(CheckFloat("f", value, 0, 1), ErrorReason::kInvalidField, "f");
  }
  EXPECT_FALSE(CheckFloat("f", kInfinity, 0, kInfinity).ok());
}

TEST(FieldChecksTest, ARequestIdIsShortAndReadable) {
  EXPECT_TRUE(CheckRequestId("").ok());
  EXPECT_TRUE(CheckRequestId("J\xC3\xBCrgen's 2nd").ok());
  EXPECT_TRUE(CheckRequestId(std::string(kMaxRequestIdBytes, 'x')).ok());
  for (const std::string& id :
       {std::string(kMaxRequestIdBytes + 1, 'x'), std::string("a\nb"), std::string("\x7F"),
        std::string(1, '\0'), std::string("a\u009b31m"), std::string("\u2028"),
        std::string("\u202eabc")}) {
    ExpectAbout(CheckRequestId(id), ErrorReason::kInvalidField, "request_id");
  }
}

TEST(FieldChecksTest, ATenantIsWhatMetadataCanHold) {
  EXPECT_TRUE(CheckTenant("").ok());
  EXPECT_TRUE(CheckTenant("Acme & Sons").ok());
  EXPECT_TRUE(CheckTenant(std::string(kMaxTenantBytes, 'x')).ok());
  for (const std::string& tenant :
       {std::string(kMaxTenantBytes + 1, 'x'), std::string("a\tb"), std::string("\xC3\xBC")}) {
    ExpectAbout(CheckTenant(tenant), ErrorReason::kInvalidMetadata, "metadata hocket-tenant");
  }
}

TEST(FieldChecksTest, WhatIsSaidBelowIsAboutItsField) {
  ExpectAbout(AboutItsField(absl::InvalidArgumentError("resume.tokens: are wrong")),
              ErrorReason::kInvalidField, "resume.tokens");
  EXPECT_EQ(AboutItsField(absl::InvalidArgumentError("no field")),
            absl::InvalidArgumentError("no field"));
}

}  // namespace
}  // namespace hocket
