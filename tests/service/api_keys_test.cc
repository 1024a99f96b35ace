// The key file: what it may say, how its errors are told, and who is found by it.
#include "service/api_keys.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <string>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_replace.h"
#include "absl/time/clock.h"
#include "service/error_reasons.h"
#include "service/key_authorizer.h"

namespace hocket {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::Not;

constexpr char kKey[] = "hk_0000000000000000000000000000000000000000000";

std::string Entry(const std::string& name, const std::string& key, const std::string& more = "") {
  return absl::StrCat(R"({"name": ")", name, R"(", "sha256": ")", HexOf(DigestOfKey(key)),
                      R"(", "tenant": "acme", "scopes": ["generate"])", more, "}");
}

std::string FileOf(const std::string& entries) {
  return absl::StrCat(R"({"keys": [)", entries, "]}");
}

std::string ErrorOf(const std::string& json) {
  return std::string(ApiKeys::Parse(json).status().message());
}

std::string ErrorOfEntry(const std::string& more) {
  return ErrorOf(FileOf(Entry("a", kKey, more)));
}

TEST(ApiKeys, AKeyIsItsCallerWithEverythingThatTheFileSays) {
  const absl::StatusOr<ApiKeys> keys = ApiKeys::Parse(FileOf(Entry("a", kKey, R"(,
      "weight": 2.5, "default_priority": "batch", "highest_priority": "standard",
      "max_new_tokens": 100, "expires": "2031-01-02T03:04:05+01:00",
      "limits": {"max_requests": 3, "max_waiting_requests": 2, "max_waiting_tokens": 1000})")));
  ASSERT_TRUE(keys.ok()) << keys.status();
  const absl::Time end =
      absl::FromCivil(absl::CivilSecond(2031, 1, 2, 2, 4, 5), absl::UTCTimeZone());
  const Caller* caller = keys->FindKey(kKey, end - absl::Seconds(1));
  ASSERT_NE(caller, nullptr);
  EXPECT_EQ(caller->key_name, "a");
  EXPECT_EQ(caller->tenant, "acme");
  EXPECT_TRUE(caller->May(Scope::kGenerate));
  EXPECT_FALSE(caller->May(Scope::kAdmin));
  EXPECT_EQ(caller->weight, 2.5);
  EXPECT_EQ(caller->default_priority, PriorityClass::kBatch);
  EXPECT_EQ(caller->highest_priority, PriorityClass::kStandard);
  EXPECT_EQ(caller->max_new_tokens, 100);
  EXPECT_EQ(
      caller->limits,
      (TenantLimits{.max_requests = 3, .max_waiting_requests = 2, .max_waiting_tokens = 1000}));
  EXPECT_EQ(keys->FindKey(kKey, end), nullptr) << "expired";
  EXPECT_EQ(keys->FindKey(absl::StrCat(kKey, "x"), absl::UnixEpoch()), nullptr);
  EXPECT_EQ(keys->FindKey("", absl::UnixEpoch()), nullptr);
}

TEST(ApiKeys, WithoutMoreAKeyIsOfStandardPriorityAndMayGoUpToInteractive) {
  const absl::StatusOr<ApiKeys> keys = ApiKeys::Parse(FileOf(Entry("a", kKey)));
  ASSERT_TRUE(keys.ok()) << keys.status();
  const Caller* caller = keys->FindKey(kKey, absl::Now());
  ASSERT_NE(caller, nullptr);
  EXPECT_EQ(caller->default_priority, PriorityClass::kStandard);
  EXPECT_EQ(caller->highest_priority, PriorityClass::kInteractive);
  EXPECT_EQ(caller->limits, TenantLimits());
  EXPECT_EQ(caller->max_new_tokens, std::nullopt);
}

TEST(ApiKeys, ALowHighestPriorityLowersTheDefault) {
  const absl::StatusOr<ApiKeys> keys =
      ApiKeys::Parse(FileOf(Entry("a", kKey, R"(, "highest_priority": "batch")")));
  ASSERT_TRUE(keys.ok()) << keys.status();
  EXPECT_EQ(keys->FindKey(kKey, absl::Now())->default_priority, PriorityClass::kBatch);
}

TEST(ApiKeys, AnErrorNamesTheEntryAndTheFieldAndTheValue) {
  EXPECT_EQ(ErrorOfEntry(R"(, "weight": 0)"),
            "keys[0] (\"a\"): weight: 0 is no number in [0.01, 100]");
  EXPECT_EQ(ErrorOfEntry(R"(, "wieght": 1)"), "keys[0] (\"a\"): wieght: is not a known member");
  EXPECT_EQ(ErrorOfEntry(R"(, "max_new_tokens": 1.5)"),
            "keys[0] (\"a\"): max_new_tokens: 1.5 is no whole number in [1, 2147483647]");
  EXPECT_THAT(ErrorOfEntry(R"(, "max_new_tokens": 99999999999999999999)"),
              HasSubstr("max_new_tokens"));
  EXPECT_EQ(ErrorOfEntry(R"(, "limits": {"max_requests": 0})"),
            "keys[0] (\"a\"): limits: max_requests: 0 is no whole number in [1, 2147483647]");
  EXPECT_EQ(ErrorOfEntry(R"(, "limits": {"max": 1})"),
            "keys[0] (\"a\"): limits: max: is not a known member");
  EXPECT_EQ(ErrorOfEntry(R"(, "limits": [])"), "keys[0] (\"a\"): limits: is no JSON object");
  EXPECT_EQ(
      ErrorOfEntry(R"(, "default_priority": "urgent")"),
      "keys[0] (\"a\"): default_priority: \"urgent\" is none of interactive, standard, batch");
  EXPECT_EQ(ErrorOfEntry(R"(, "highest_priority": "batch", "default_priority": "standard")"),
            "keys[0] (\"a\"): default_priority: is higher than highest_priority");
  EXPECT_THAT(ErrorOfEntry(R"(, "expires": "tomorrow")"),
              HasSubstr("expires: \"tomorrow\" is no time of RFC 3339"));
  EXPECT_THAT(ErrorOfEntry(R"(, "expires": "infinite-future")"), HasSubstr("expires: "));
  EXPECT_EQ(ErrorOf(R"({"keys": [{"tenant": "t", "scopes": ["generate"]}]})"),
            "keys[0]: name: is missing");
  EXPECT_EQ(ErrorOf(R"({"keys": [7]})"), "keys[0]: is no JSON object");
  EXPECT_EQ(ErrorOf(R"({"keys": [], "more": 1})"), "more: is not a known member");
  EXPECT_EQ(ErrorOf("[]"), "is no JSON object with a list named keys");
  EXPECT_EQ(ErrorOf("{\"keys\": [\n\n}"), "is not JSON, at line 3");
  EXPECT_EQ(ErrorOf(R"({"keys": [{"name": 1e999}]})"), "has a number that is too large");
}

TEST(ApiKeys, AValueOfAnyDepthIsAnErrorAndNotACrash) {
  constexpr size_t kDepth = 1 << 20;
  const std::string deep = std::string(kDepth, '[') + std::string(kDepth, ']');
  EXPECT_EQ(ErrorOfEntry(", \"weight\": " + deep),
            "keys[0] (\"a\"): weight: a list is no number in [0.01, 100]");
  const std::string object = absl::StrCat("[{\"x\": ", deep, "}]");
  EXPECT_THAT(ErrorOf(absl::StrReplaceAll(FileOf(Entry("a", kKey)), {{R"(["generate"])", object}})),
              HasSubstr("scopes: an object is none of generate, admin"));
}

TEST(ApiKeys, TellsWhichKeysExpireAndWhen) {
  const absl::StatusOr<ApiKeys> keys = ApiKeys::Parse(FileOf(
      Entry("a", kKey, R"(, "expires": "2030-01-01T00:00:00Z")") + "," + Entry("b", "hk_other")));
  ASSERT_TRUE(keys.ok()) << keys.status();
  ASSERT_EQ(keys->Expiries().size(), 1u);
  EXPECT_EQ(keys->Expiries()[0].name, "a");
  EXPECT_EQ(absl::ToUnixSeconds(keys->Expiries()[0].at), 1893456000);
}

TEST(ApiKeys, AMemberThatComesTwiceIsRefusedAndNotTheLastTaken) {
  EXPECT_EQ(ErrorOfEntry(R"(, "tenant": "other")"), "\"tenant\" comes twice in one object");
}

TEST(ApiKeys, ScopesAreKnownOnesAndAtLeastOne) {
  const std::string with = Entry("a", kKey);
  const auto scopes = [&](const std::string& list) {
    return ErrorOf(FileOf(absl::StrReplaceAll(with, {{R"(["generate"])", list}})));
  };
  EXPECT_THAT(scopes("[]"), HasSubstr("scopes: is no list, or an empty one"));
  EXPECT_THAT(scopes(R"(["root"])"), HasSubstr("scopes: \"root\" is none of generate, admin"));
  EXPECT_THAT(scopes(R"(["admin", "admin"])"), HasSubstr("scopes: \"admin\" comes twice"));
  EXPECT_EQ(scopes(R"(["admin", "generate"])"), "");
}

TEST(ApiKeys, AKeyWrittenInPlaceOfItsHashIsNotRepeated) {
  const std::string secret =
      absl::StrCat(R"({"keys": [{"name": "a", "tenant": "t", "scopes": ["generate"], "sha256": ")",
                   kKey, "\"}]}");
  EXPECT_THAT(ErrorOf(secret), HasSubstr("sha256: is not the 64 hexadecimal digits"));
  EXPECT_THAT(ErrorOf(secret), Not(HasSubstr(kKey)));
}

TEST(ApiKeys, NamesAndKeysAreEachOnes) {
  EXPECT_EQ(ErrorOf(FileOf(absl::StrCat(Entry("a", "k1"), ",", Entry("a", "k2")))),
            "keys[1] (\"a\"): name: the same as of keys[0] (\"a\")");
  EXPECT_EQ(ErrorOf(FileOf(absl::StrCat(Entry("a", "k1"), ",", Entry("b", "k1")))),
            "keys[1] (\"b\"): sha256: the same as of keys[0] (\"a\")");
}

TEST(ApiKeys, KeysOfOneTenantAgreeOnWeightAndLimits) {
  EXPECT_EQ(
      ErrorOf(FileOf(absl::StrCat(Entry("a", "k1"), ",", Entry("b", "k2", R"(, "weight": 2)")))),
      "keys[1] (\"b\"): weight: not the same as of keys[0] (\"a\"), which is of tenant \"acme\" "
      "too");
  EXPECT_THAT(ErrorOf(FileOf(absl::StrCat(Entry("a", "k1", R"(, "limits": {"max_requests": 1})"),
                                          ",", Entry("b", "k2")))),
              HasSubstr("keys[1] (\"b\"): limits: not the same"));
  const absl::StatusOr<ApiKeys> keys =
      ApiKeys::Parse(FileOf(absl::StrCat(Entry("a", "k1"), ",", Entry("b", "k2"))));
  ASSERT_TRUE(keys.ok()) << keys.status();
  EXPECT_THAT(keys->Tenants(), ElementsAre("acme"));
}

TEST(ApiKeys, ACertificateIsFoundByItsNamesAndADnsNameNeverPassesForAUri) {
  const absl::StatusOr<ApiKeys> keys = ApiKeys::Parse(R"({"keys": [
      {"name": "u", "tenant": "u", "scopes": ["generate"], "certificate_san": "spiffe://x/batch"},
      {"name": "d", "tenant": "d", "scopes": ["admin"], "certificate_san": "ops.example.org"}]})");
  ASSERT_TRUE(keys.ok()) << keys.status();
  const absl::Time now = absl::Now();
  EXPECT_EQ(keys->FindCertificate({"spiffe://x/batch"}, {}, now)->key_name, "u");
  EXPECT_EQ(keys->FindCertificate({}, {"other.org", "ops.example.org"}, now)->key_name, "d");
  EXPECT_EQ(keys->FindCertificate({}, {"spiffe://x/batch"}, now), nullptr);
  EXPECT_EQ(keys->FindCertificate({"ops.example.org"}, {}, now), nullptr);
}

TEST(ApiKeys, AFileThatCannotBeReadIsNamed) {
  EXPECT_THAT(std::string(ApiKeys::Load("/nowhere/keys.json").status().message()),
              HasSubstr("cannot read /nowhere/keys.json: No such file"));
  EXPECT_THAT(std::string(ApiKeys::Load("/tmp").status().message()),
              HasSubstr("cannot read /tmp: it is no regular file"));
}

class IdentifyCallerTest : public testing::Test {
 protected:
  absl::StatusOr<Caller> Identify(const PresentedIdentity& presented) {
    return IdentifyCaller(*keys_, presented, absl::Now());
  }
  absl::StatusOr<ApiKeys> keys_ = ApiKeys::Parse(FileOf(absl::StrCat(
      Entry("a", kKey), ",", Entry("old", "old", R"(, "expires": "2001-01-01T00:00:00Z")"))));
};

TEST_F(IdentifyCallerTest, AKeyIsTakenFromEitherMetadata) {
  const std::string bearer = absl::StrCat("Bearer ", kKey);
  EXPECT_EQ(Identify({.authorization = bearer})->key_name, "a");
  EXPECT_EQ(Identify({.authorization = absl::StrCat("bearer  ", kKey)})->key_name, "a");
  EXPECT_EQ(Identify({.x_api_key = kKey})->key_name, "a");
  EXPECT_EQ(Identify({.authorization = bearer, .tenant = "acme"})->tenant, "acme");
}

TEST_F(IdentifyCallerTest, UnknownAndExpiredKeysLookTheSame) {
  const absl::Status unknown = Identify({.x_api_key = "other"}).status();
  const absl::Status expired = Identify({.x_api_key = "old"}).status();
  EXPECT_EQ(unknown, expired);
  EXPECT_EQ(ReasonOf(unknown), ErrorReason::kKeyUnknown);
  EXPECT_TRUE(absl::IsUnauthenticated(unknown));
}

TEST_F(IdentifyCallerTest, WhatIsMissingOrWrongIsSaidWithoutRepeatingIt) {
  EXPECT_EQ(ReasonOf(Identify({}).status()), ErrorReason::kKeyMissing);
  const absl::Status scheme = Identify({.authorization = "Basic c2VjcmV0"}).status();
  EXPECT_EQ(ReasonOf(scheme), ErrorReason::kInvalidMetadata);
  EXPECT_THAT(std::string(scheme.message()), Not(HasSubstr("c2VjcmV0")));
  const absl::Status tenant = Identify({.x_api_key = kKey, .tenant = "other"}).status();
  EXPECT_EQ(ReasonOf(tenant), ErrorReason::kInvalidMetadata);
}

}  // namespace
}  // namespace hocket
