// The server's certificate, its key and the CAs that sign its clients' certificates: read from
// files and checked against each other before anybody is served with them. A plain value.
#ifndef HOCKET_SERVICE_TLS_IDENTITY_H_
#define HOCKET_SERVICE_TLS_IDENTITY_H_

#include <string>

#include "absl/status/statusor.h"
#include "absl/time/time.h"

namespace hocket {

struct TlsFiles {
  std::string certificate;  // PEM: the server's own first, then what leads to its CA.
  std::string key;          // PEM, without a passphrase.
  std::string client_ca;    // PEM; empty: clients need no certificate.
};

struct TlsIdentity {
  std::string certificate_pem;
  std::string key_pem;
  std::string client_ca_pem;
  std::string subject;
  absl::Time expires;
};

// INVALID_ARGUMENT naming the flag and the file: one cannot be read, holds no certificate or key,
// the key is another certificate's, or a certificate is not valid `now`.
absl::StatusOr<TlsIdentity> LoadTlsIdentity(const TlsFiles& files, absl::Time now);

}  // namespace hocket

#endif  // HOCKET_SERVICE_TLS_IDENTITY_H_
