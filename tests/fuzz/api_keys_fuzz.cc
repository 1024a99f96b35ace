// A file of API keys that somebody wrote by hand: refused in words that a log can show, or keys of
// which each opens for its own tenant and nothing else does.
#include <algorithm>
#include <cmath>

#include "fuzz_input.h"
#include "promise.h"
#include "service/api_key_file.h"
#include "service/api_keys.h"
#include "tests/runtime/text/fixtures.h"

namespace hocket::fuzz {
namespace {

constexpr char kKey[] = "hk_the-key-of-the-corpus";

void CheckRefusal(const absl::Status& status) {
  const std::string message(status.message());
  Promise(absl::IsInvalidArgument(status) && !message.empty(), "a refusal says why", message);
  Promise(testing::IsValidUtf8(message), "a refusal is text", message);
  Promise(message.find('\n') == std::string::npos, "a refusal is a line", message);
  Promise(message.size() < 10000, "a refusal is short");
}

void CheckEntry(const ApiKeyEntry& entry) {
  const Caller& caller = entry.caller;
  Promise(entry.digest.has_value() == entry.certificate_san.empty(), "an entry is of one kind");
  Promise(!caller.key_name.empty() && !caller.tenant.empty(), "an entry has name and tenant");
  Promise(caller.tenant.size() <= kMaxTenantBytes, "a tenant's name is short");
  Promise(caller.may_generate || caller.may_admin, "an entry may do something");
  Promise(std::isfinite(caller.weight) && caller.weight > 0, "a weight is above 0");
  Promise(caller.default_priority >= caller.highest_priority, "no default above what is allowed");
  Promise(caller.max_new_tokens.value_or(1) > 0 && caller.limits.max_requests.value_or(1) > 0 &&
              caller.limits.max_waiting_requests.value_or(1) > 0,
          "limits are above 0");
}

const Caller* FindByName(const ApiKeys& keys, const ApiKeyEntry& entry, absl::Time now) {
  const std::vector<std::string> names = {entry.certificate_san};
  return IsUri(entry.certificate_san) ? keys.FindCertificate(names, {}, now)
                                      : keys.FindCertificate({}, names, now);
}

void Check(const std::string& json) {
  const absl::Time now = absl::FromUnixSeconds(1'800'000'000);
  const absl::StatusOr<std::vector<ApiKeyEntry>> entries = ParseApiKeyFile(json);
  const absl::StatusOr<ApiKeys> keys = ApiKeys::Parse(json);
  if (!entries.ok()) {
    Promise(!keys.ok(), "what is wrong by itself is wrong together");
    return CheckRefusal(keys.status());
  }
  for (const ApiKeyEntry& entry : *entries) CheckEntry(entry);
  if (!keys.ok()) return CheckRefusal(keys.status());
  Promise(keys->size() == entries->size(), "every entry counts");
  const std::vector<std::string> tenants = keys->Tenants();
  const KeyDigest digest = DigestOfKey(kKey);
  bool known = false;
  for (const ApiKeyEntry& entry : *entries) {
    Promise(std::count(tenants.begin(), tenants.end(), entry.caller.tenant) == 1,
            "every tenant is told once");
    known |= entry.digest == digest && now < entry.expires;
    if (entry.digest) continue;
    const Caller* caller = FindByName(*keys, entry, now);
    Promise((caller != nullptr) == (now < entry.expires), "a certificate is good until it expires");
    Promise(caller == nullptr || caller->key_name == entry.caller.key_name,
            "a certificate is its own entry's");
  }
  const Caller* caller = keys->FindKey(kKey, now);
  Promise((caller != nullptr) == known, "a key is good when its digest is there, until it expires");
  Promise(keys->FindKey("another", now) == nullptr, "no other key opens");
  Promise(keys->FindCertificate({"another"}, {"spiffe://another"}, now) == nullptr,
          "a name of one kind is none of another");
}

}  // namespace
}  // namespace hocket::fuzz

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  hocket::fuzz::Check(hocket::fuzz::FuzzInput(data, size).Rest());
  return 0;
}
