#include "service/security_settings.h"

#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "service/api_keys.h"
#include "service/field_checks.h"
#include "service/listening_sockets.h"

namespace hocket {
namespace {

constexpr absl::Duration kMinIdle = absl::Seconds(1);
constexpr int64_t kMinBufferBytes = 16 << 20;
constexpr int32_t kMaxConnections = 1 << 20;

absl::Status Wrong(absl::string_view what) { return absl::InvalidArgumentError(what); }

}  // namespace

absl::Status SecuritySettings::Validate(const std::string& host) const {
  if (tls.certificate.empty() != tls.key.empty()) {
    return Wrong("--tls-cert and --tls-key are given together or not at all");
  }
  if (!tls.client_ca.empty() && !encrypted()) {
    return Wrong("--tls-client-ca: certificates of clients need --tls-cert and --tls-key");
  }
  if (!encrypted() && !allow_plaintext && !IsLoopback(host)) {
    return Wrong(absl::StrCat(
        "listening on ", host,
        " would serve the network in plaintext: give "
        "--tls-cert and --tls-key, or --allow-plaintext where something else encrypts"));
  }
  absl::Status status = CheckInt("max_connections", max_connections, 1, kMaxConnections);
  status.Update(
      CheckInt("max_connections_per_address", max_connections_per_address, 0, kMaxConnections));
  status.Update(
      CheckInt("max_connection_calls_per_second", max_connection_calls_per_second, 1, 1'000'000));
  status.Update(
      CheckInt("max_connection_resets_per_second", max_connection_resets_per_second, 1, 1'000'000));
  status.Update(CheckInt("max_buffer_bytes", max_buffer_bytes, kMinBufferBytes, int64_t{1} << 40));
  status.Update(CheckSeconds("max_connection_idle_seconds", max_connection_idle, kMinIdle));
  status.Update(CheckSeconds("max_connection_age_seconds", max_connection_age, kMinIdle));
  return status;
}

absl::Status SecuritySettings::CheckFiles() const {
  absl::Status status;
  if (encrypted()) status.Update(LoadTlsIdentity(tls, absl::Now()).status());
  if (status.ok() && !api_keys_file.empty()) {
    const absl::StatusOr<ApiKeys> keys = ApiKeys::Load(api_keys_file);
    if (!keys.ok()) {
      status = Wrong(absl::StrCat("--api-keys: ", keys.status().message()));
    }
  }
  return status;
}

}  // namespace hocket
