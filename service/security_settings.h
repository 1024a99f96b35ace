// What an operator sets about who may reach the server and how. A plain value; any thread.
#ifndef HOCKET_SERVICE_SECURITY_SETTINGS_H_
#define HOCKET_SERVICE_SECURITY_SETTINGS_H_

#include <cstdint>
#include <string>

#include "absl/status/status.h"
#include "absl/time/time.h"
#include "service/tls_identity.h"

namespace hocket {

struct SecuritySettings {
  TlsFiles tls;                  // Without a certificate: plaintext.
  std::string api_keys_file;     // Empty: callers need no key.
  bool allow_plaintext = false;  // Beyond loopback.

  int32_t max_connections = 4096;
  int32_t max_connections_per_address = 0;  // 0: as many as there may be.
  int32_t max_connection_calls_per_second = 2000;
  int32_t max_connection_resets_per_second = 100;
  // A connection without calls is closed after the first, any after the second.
  absl::Duration max_connection_idle = absl::Minutes(10);
  absl::Duration max_connection_age = absl::InfiniteDuration();
  // That gRPC may hold for what is being received and sent, over all connections.
  int64_t max_buffer_bytes = 512 << 20;

  bool encrypted() const { return !tls.certificate.empty(); }
  // Whether callers prove who they are.
  bool identified() const { return !api_keys_file.empty() || !tls.client_ca.empty(); }

  // INVALID_ARGUMENT naming the setting, or the flags that are missing: a key without its
  // certificate, plaintext to more than this machine. `host`: where the server is to listen.
  absl::Status Validate(const std::string& host) const;

  // Also reads the files: what is wrong with them is better known before a model is loaded.
  absl::Status CheckFiles() const;
};

}  // namespace hocket

#endif  // HOCKET_SERVICE_SECURITY_SETTINGS_H_
