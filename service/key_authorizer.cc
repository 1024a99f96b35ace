#include "service/key_authorizer.h"

#include <grpc/grpc_security_constants.h>

#include <utility>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/strip.h"
#include "absl/time/clock.h"
#include "service/error_reasons.h"
#include "service/field_checks.h"

namespace hocket {
namespace {

std::optional<absl::string_view> MetadataValue(const grpc::CallbackServerContext& context,
                                               const char* name) {
  const auto found = context.client_metadata().find(name);
  if (found == context.client_metadata().end()) return std::nullopt;
  return absl::string_view(found->second.data(), found->second.size());
}

// The key that was sent; empty: none. What was sent instead is never repeated: it may be a secret.
absl::StatusOr<absl::string_view> PresentedKey(const PresentedIdentity& presented) {
  if (!presented.authorization) return presented.x_api_key.value_or("");
  constexpr absl::string_view kScheme = "bearer ";
  if (!absl::StartsWithIgnoreCase(*presented.authorization, kScheme)) {
    return MetadataError("authorization", "does not begin with \"Bearer \"");
  }
  return absl::StripAsciiWhitespace(presented.authorization->substr(kScheme.size()));
}

std::vector<std::string> PropertiesOf(const grpc::AuthContext& context, const char* name) {
  std::vector<std::string> values;
  for (const grpc::string_ref& value : context.FindPropertyValues(name)) {
    values.emplace_back(value.data(), value.size());
  }
  return values;
}

PresentedIdentity WhatCameWith(const grpc::CallbackServerContext& context) {
  PresentedIdentity presented;
  presented.authorization = MetadataValue(context, "authorization");
  presented.x_api_key = MetadataValue(context, "x-api-key");
  presented.tenant = MetadataValue(context, "hocket-tenant");
  const std::shared_ptr<const grpc::AuthContext> peer = context.auth_context();
  if (peer != nullptr && peer->IsPeerAuthenticated()) {
    presented.certificate_uris = PropertiesOf(*peer, GRPC_PEER_URI_PROPERTY_NAME);
    presented.certificate_dns_names = PropertiesOf(*peer, GRPC_PEER_DNS_PROPERTY_NAME);
  }
  return presented;
}

}  // namespace

absl::StatusOr<Caller> IdentifyCaller(const ApiKeys& keys, const PresentedIdentity& presented,
                                      absl::Time now) {
  const absl::StatusOr<absl::string_view> key = PresentedKey(presented);
  if (!key.ok()) return key.status();
  const Caller* caller = key->empty() ? keys.FindCertificate(presented.certificate_uris,
                                                             presented.certificate_dns_names, now)
                                      : keys.FindKey(*key, now);
  if (caller == nullptr && key->empty()) {
    return ReasonError(ErrorReason::kKeyMissing,
                       "this server wants an API key: send the metadata authorization: Bearer KEY");
  }
  if (caller == nullptr) {
    return ReasonError(ErrorReason::kKeyUnknown, "this server does not know the API key");
  }
  if (presented.tenant && *presented.tenant != caller->tenant) {
    return MetadataError("hocket-tenant", "is not the tenant of the key; leave it out");
  }
  return *caller;
}

void KeyAuthorizer::Replace(ApiKeys keys) {
  auto replacement = std::make_shared<const ApiKeys>(std::move(keys));
  std::lock_guard lock(mutex_);
  keys_.swap(replacement);
}

absl::StatusOr<Caller> KeyAuthorizer::Authorize(const grpc::CallbackServerContext& context,
                                                Scope scope) const {
  std::shared_ptr<const ApiKeys> keys;
  {
    std::lock_guard lock(mutex_);
    keys = keys_;
  }
  absl::StatusOr<Caller> caller = IdentifyCaller(*keys, WhatCameWith(context), absl::Now());
  if (caller.ok() && !caller->May(scope)) {
    return ReasonError(ErrorReason::kScopeMissing,
                       absl::StrCat("the key \"", caller->key_name, "\" lacks the scope ",
                                    scope == Scope::kAdmin ? "admin" : "generate"));
  }
  return caller;
}

}  // namespace hocket
