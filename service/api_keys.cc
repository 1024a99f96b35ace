#include "service/api_keys.h"

#include <openssl/crypto.h>
#include <openssl/sha.h>
#include <spdlog/spdlog.h>

#include <algorithm>
#include <cstring>
#include <utility>

#include "absl/strings/escaping.h"
#include "absl/strings/str_cat.h"
#include "service/api_key_file.h"
#include "service/file_contents.h"

namespace hocket {
namespace {

constexpr size_t kMaxFileBytes = 16 << 20;

absl::Status EntryError(size_t index, const ApiKeyEntry& entry, absl::string_view what) {
  return absl::InvalidArgumentError(
      absl::StrCat("keys[", index, "] (\"", entry.caller.key_name, "\"): ", what));
}

std::string NameOf(size_t index, const ApiKeyEntry& entry) {
  return absl::StrCat("keys[", index, "] (\"", entry.caller.key_name, "\")");
}

}  // namespace

KeyDigest DigestOfKey(absl::string_view key) {
  KeyDigest digest;
  SHA256(reinterpret_cast<const uint8_t*>(key.data()), key.size(), digest.data());
  return digest;
}

std::string HexOf(const KeyDigest& digest) {
  return absl::BytesToHexString(
      absl::string_view(reinterpret_cast<const char*>(digest.data()), digest.size()));
}

size_t ApiKeys::DigestHash::operator()(const KeyDigest& digest) const {
  size_t hash = 0;
  std::memcpy(&hash, digest.data(), sizeof(hash));
  return hash;
}

absl::StatusOr<ApiKeys> ApiKeys::Parse(absl::string_view json) {
  absl::StatusOr<std::vector<ApiKeyEntry>> entries = ParseApiKeyFile(json);
  if (!entries.ok()) return entries.status();
  ApiKeys keys;
  for (ApiKeyEntry& entry : *entries) {
    absl::Status added = keys.Add(std::move(entry));
    if (!added.ok()) return added;
  }
  return keys;
}

absl::StatusOr<ApiKeys> ApiKeys::Load(const std::string& path) {
  absl::StatusOr<FileContents> contents = ReadWholeFile(path, kMaxFileBytes);
  if (!contents.ok()) return contents.status();
  absl::StatusOr<ApiKeys> keys = Parse(contents->bytes);
  if (!keys.ok()) {
    return absl::Status(keys.status().code(), absl::StrCat(path, ": ", keys.status().message()));
  }
  if (contents->open_to_others) {
    spdlog::warn("API keys: {} can be read or written by everybody on this machine; chmod 640 it",
                 path);
  }
  return keys;
}

absl::Status ApiKeys::Add(ApiKeyEntry entry) {
  const size_t index = entries_.size();
  const auto clash = [&](absl::string_view field, size_t other) {
    return EntryError(index, entry,
                      absl::StrCat(field, ": the same as of ", NameOf(other, entries_[other])));
  };
  if (const auto [it, fresh] = by_name_.emplace(entry.caller.key_name, index); !fresh) {
    return clash("name", it->second);
  }
  if (entry.digest) {
    if (const auto [it, fresh] = by_digest_.emplace(*entry.digest, index); !fresh) {
      return clash("sha256", it->second);
    }
  } else if (const auto [it, fresh] = by_san_.emplace(entry.certificate_san, index); !fresh) {
    return clash("certificate_san", it->second);
  }
  // The scheduler knows tenants, not keys: whose turn it is must not depend on who asks.
  const auto [first, fresh] = by_tenant_.emplace(entry.caller.tenant, index);
  if (!fresh) {
    const ApiKeyEntry& other = entries_[first->second];
    const bool limits = other.caller.limits == entry.caller.limits;
    if (!limits || other.caller.weight != entry.caller.weight) {
      return EntryError(index, entry,
                        absl::StrCat(limits ? "weight" : "limits", ": not the same as of ",
                                     NameOf(first->second, other), ", which is of tenant \"",
                                     entry.caller.tenant, "\" too"));
    }
  }
  entries_.push_back(std::move(entry));
  return absl::OkStatus();
}

std::vector<std::string> ApiKeys::Tenants() const {
  std::vector<std::string> tenants;
  for (const auto& [tenant, entry] : by_tenant_) tenants.push_back(tenant);
  std::sort(tenants.begin(), tenants.end());
  return tenants;
}

std::vector<Expiry> ApiKeys::Expiries() const {
  std::vector<Expiry> expiries;
  for (const ApiKeyEntry& entry : entries_) {
    if (entry.expires == absl::InfiniteFuture()) continue;
    expiries.push_back({.name = entry.caller.key_name, .at = entry.expires});
  }
  return expiries;
}

const Caller* ApiKeys::Unexpired(size_t entry, absl::Time now) const {
  return now < entries_[entry].expires ? &entries_[entry].caller : nullptr;
}

// What the time of this tells depends on the presented key only through its SHA-256. Whoever times
// the search can at best learn leading bits of a stored digest, for which they would have to choose
// digests, that is invert SHA-256; and a digest, even whole, leads to no key. The last comparison
// takes the same time wherever digests differ, so that not even this argument is needed there.
const Caller* ApiKeys::FindKey(absl::string_view key, absl::Time now) const {
  const KeyDigest digest = DigestOfKey(key);
  const size_t bucket_count = by_digest_.bucket_count();
  if (by_digest_.empty() || bucket_count == 0) return nullptr;
  const size_t bucket = by_digest_.bucket(digest);
  const Caller* found = nullptr;
  for (auto it = by_digest_.begin(bucket); it != by_digest_.end(bucket); ++it) {
    if (CRYPTO_memcmp(it->first.data(), digest.data(), digest.size()) != 0) continue;
    found = Unexpired(it->second, now);
  }
  return found;
}

const Caller* ApiKeys::FindCertificate(const std::vector<std::string>& uris,
                                       const std::vector<std::string>& dns_names,
                                       absl::Time now) const {
  for (const bool uri : {true, false}) {
    for (const std::string& name : uri ? uris : dns_names) {
      // A name with a scheme is a URI's, and no DNS name may pass for it.
      if (uri != IsUri(name)) continue;
      const auto found = by_san_.find(name);
      if (found == by_san_.end()) continue;
      if (const Caller* caller = Unexpired(found->second, now)) return caller;
    }
  }
  return nullptr;
}

}  // namespace hocket
