// Each limit on who may wait, its reason and its numbers.
#include "scheduler/admission_gate.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace hocket {
namespace {

using ::testing::HasSubstr;

AdmissionLimits WideLimits() { return AdmissionLimits(); }

TEST(AdmissionGate, RefusesWhenTooManyRequestsWaitAndTakesMoreOnceOneHasStarted) {
  AdmissionLimits limits = WideLimits();
  limits.max_waiting_requests = 2;
  AdmissionGate gate(limits);
  EXPECT_TRUE(gate.Enter("a", 10).ok());
  EXPECT_TRUE(gate.Enter("b", 10).ok());
  const absl::Status full = gate.Enter("c", 10);
  EXPECT_EQ(full.code(), absl::StatusCode::kResourceExhausted);
  EXPECT_EQ(RefusalOf(full), Refusal::kWaitingRequests);
  EXPECT_THAT(full.message(), HasSubstr("2 requests are waiting, and the limit is 2"));
  gate.Start("a", 10);
  EXPECT_TRUE(gate.Enter("c", 10).ok());
}

TEST(AdmissionGate, RefusesWhenTooManyTokensWaitButNeverALonePrompt) {
  AdmissionLimits limits = WideLimits();
  limits.max_waiting_tokens = 100;
  AdmissionGate gate(limits);
  EXPECT_TRUE(gate.Enter("a", 500).ok()) << "it would wait for ever otherwise";
  EXPECT_EQ(RefusalOf(gate.Enter("b", 1)), Refusal::kWaitingTokens);
  gate.Leave("a", 500, /*started=*/false);
  EXPECT_TRUE(gate.Enter("a", 60).ok());
  EXPECT_TRUE(gate.Enter("b", 40).ok());
  EXPECT_THAT(gate.Enter("b", 1).message(), HasSubstr("100 prompt tokens are waiting"));
}

TEST(AdmissionGate, BoundsOneTenantAndLeavesTheOthersTheirPlace) {
  AdmissionLimits limits = WideLimits();
  limits.max_tenant_waiting_requests = 1;
  AdmissionGate gate(limits);
  EXPECT_TRUE(gate.Enter("a", 10).ok());
  EXPECT_EQ(RefusalOf(gate.Enter("a", 10)), Refusal::kTenantWaitingRequests);
  EXPECT_TRUE(gate.Enter("b", 10).ok());
  gate.Start("a", 10);
  EXPECT_TRUE(gate.Enter("a", 10).ok());
}

TEST(AdmissionGate, BoundsATenantsTokensAndItsRequestsInAll) {
  AdmissionLimits limits = WideLimits();
  limits.max_tenant_waiting_tokens = 20;
  limits.max_tenant_requests = 3;
  AdmissionGate gate(limits);
  EXPECT_TRUE(gate.Enter("a", 15).ok());
  EXPECT_EQ(RefusalOf(gate.Enter("a", 6)), Refusal::kTenantWaitingTokens);
  EXPECT_TRUE(gate.Enter("a", 5).ok());
  gate.Start("a", 15);
  EXPECT_TRUE(gate.Enter("a", 1).ok());
  gate.Start("a", 5);
  gate.Start("a", 1);
  EXPECT_EQ(RefusalOf(gate.Enter("a", 1)), Refusal::kTenantRequests) << "running ones count too";
  gate.Leave("a", 15, /*started=*/true);
  EXPECT_TRUE(gate.Enter("a", 1).ok());
}

TEST(AdmissionGate, HoldsATenantToItsOwnLimitsWhereItHasThem) {
  AdmissionLimits limits = WideLimits();
  limits.max_tenant_requests = 2;
  AdmissionGate gate(limits);
  const TenantLimits narrow = {.max_requests = 1};
  EXPECT_TRUE(gate.Enter("narrow", 10, narrow).ok());
  EXPECT_EQ(RefusalOf(gate.Enter("narrow", 10, narrow)), Refusal::kTenantRequests);
  const TenantLimits wide = {
      .max_requests = 3, .max_waiting_requests = 2, .max_waiting_tokens = 25};
  EXPECT_TRUE(gate.Enter("wide", 10, wide).ok());
  EXPECT_EQ(RefusalOf(gate.Enter("wide", 16, wide)), Refusal::kTenantWaitingTokens);
  EXPECT_TRUE(gate.Enter("wide", 15, wide).ok());
  EXPECT_EQ(RefusalOf(gate.Enter("wide", 1, wide)), Refusal::kTenantWaitingRequests);
  gate.Start("wide", 15);
  EXPECT_TRUE(gate.Enter("wide", 1, wide).ok()) << "more than tenants without limits of their own";
  gate.Start("wide", 1);
  const absl::Status refused = gate.Enter("wide", 1, wide);
  EXPECT_EQ(RefusalOf(refused), Refusal::kTenantRequests);
  EXPECT_NE(refused.message().find("the limit is 3"), absl::string_view::npos);
}

TEST(AdmissionGate, ForgetsATenantWithoutRequests) {
  AdmissionGate gate(WideLimits());
  for (int i = 0; i < 100; ++i) {
    const std::string tenant = std::to_string(i);
    EXPECT_TRUE(gate.Enter(tenant, 1).ok());
    if (i % 2 == 0) gate.Start(tenant, 1);
    gate.Leave(tenant, 1, i % 2 == 0);
  }
  EXPECT_EQ(gate.tenants(), 0u);
  EXPECT_EQ(gate.waiting_requests(), 0);
  EXPECT_EQ(gate.waiting_tokens(), 0);
}

TEST(RefusalOf, IsOnlyOfAGatesOwnRefusals) {
  EXPECT_FALSE(RefusalOf(absl::OkStatus()).has_value());
  EXPECT_FALSE(RefusalOf(absl::ResourceExhaustedError("no memory")).has_value());
}

TEST(AdmissionLimits, RefusesAnUnsetLimitByName) {
  AdmissionLimits limits;
  EXPECT_TRUE(limits.Validate().ok());
  limits.max_tenant_requests = 0;
  EXPECT_THAT(limits.Validate().message(), HasSubstr("max_tenant_requests is 0"));
}

}  // namespace
}  // namespace hocket
