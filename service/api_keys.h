// Who may call: the entries of --api-keys, each a key or a client certificate with its tenant, its
// scopes and its limits. Read from JSON, strictly; docs/operations.md shows the file. Immutable;
// any thread.
#ifndef HOCKET_SERVICE_API_KEYS_H_
#define HOCKET_SERVICE_API_KEYS_H_

#include <array>
#include <cstdint>
#include <optional>
#include <string>
#include <unordered_map>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "absl/time/time.h"
#include "service/caller.h"
#include "service/expiry_watch.h"

namespace hocket {

// Keys are drawn from 256 random bits (hocket make-key), so one plain SHA-256 protects them: there
// is no dictionary to try, and nothing for a salt or a slow hash to slow down.
using KeyDigest = std::array<uint8_t, 32>;
KeyDigest DigestOfKey(absl::string_view key);
std::string HexOf(const KeyDigest& digest);

// One entry. Exactly one of `digest` and `certificate_san` says who it is.
struct ApiKeyEntry {
  Caller caller;
  std::optional<KeyDigest> digest;
  std::string certificate_san;  // "spiffe://example.org/batch", or a DNS name.
  absl::Time expires = absl::InfiniteFuture();
};

class ApiKeys {
 public:
  ApiKeys() = default;

  // INVALID_ARGUMENT naming the entry and the field: `keys[1] ("alice"): weight: ...`.
  static absl::StatusOr<ApiKeys> Parse(absl::string_view json);

  // Reads and parses a file; errors name it. Warns in the log when others may read it.
  static absl::StatusOr<ApiKeys> Load(const std::string& path);

  // Null for a key that is not known or has expired.
  const Caller* FindKey(absl::string_view key, absl::Time now) const;

  // By the names in a certificate that the connection has verified. Null as above.
  const Caller* FindCertificate(const std::vector<std::string>& uris,
                                const std::vector<std::string>& dns_names, absl::Time now) const;

  size_t size() const { return entries_.size(); }
  std::vector<std::string> Tenants() const;  // Each once, in order of the alphabet.
  std::vector<Expiry> Expiries() const;      // Of those that expire.

 private:
  struct DigestHash {
    size_t operator()(const KeyDigest& digest) const;
  };

  absl::Status Add(ApiKeyEntry entry);
  const Caller* Unexpired(size_t entry, absl::Time now) const;

  std::vector<ApiKeyEntry> entries_;
  std::unordered_map<KeyDigest, size_t, DigestHash> by_digest_;
  std::unordered_map<std::string, size_t> by_san_;
  std::unordered_map<std::string, size_t> by_name_;
  std::unordered_map<std::string, size_t> by_tenant_;  // The first of each.
};

}  // namespace hocket

#endif  // HOCKET_SERVICE_API_KEYS_H_
