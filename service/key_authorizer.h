// Callers by API key or client certificate: what --api-keys names. The keys can be replaced at any
// time; a call sees those that are there when it arrives.
#ifndef HOCKET_SERVICE_KEY_AUTHORIZER_H_
#define HOCKET_SERVICE_KEY_AUTHORIZER_H_

#include <grpcpp/server_context.h>

#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "service/api_keys.h"
#include "service/authorizer.h"
#include "service/caller.h"

namespace hocket {

// What a call brings to say who makes it.
struct PresentedIdentity {
  std::optional<absl::string_view> authorization;  // The metadata of these names.
  std::optional<absl::string_view> x_api_key;
  std::optional<absl::string_view> tenant;
  // Of the client's certificate, where the connection has verified one.
  std::vector<std::string> certificate_uris;
  std::vector<std::string> certificate_dns_names;
};

// The caller, with any scopes. UNAUTHENTICATED for no key, an unknown one and one that has expired:
// which of the last two is not told. INVALID_ARGUMENT for metadata that is malformed or names
// another tenant. A key counts before a certificate.
absl::StatusOr<Caller> IdentifyCaller(const ApiKeys& keys, const PresentedIdentity& presented,
                                      absl::Time now);

class KeyAuthorizer final : public Authorizer {
 public:
  explicit KeyAuthorizer(ApiKeys keys) { Replace(std::move(keys)); }

  void Replace(ApiKeys keys);

  absl::StatusOr<Caller> Authorize(const grpc::CallbackServerContext& context,
                                   Scope scope) const override;

 private:
  mutable std::mutex mutex_;
  std::shared_ptr<const ApiKeys> keys_;  // Guarded by mutex_.
};

}  // namespace hocket

#endif  // HOCKET_SERVICE_KEY_AUTHORIZER_H_
