// gRPC server credentials whose certificate, key and client CAs can be replaced while the server
// runs: new connections get the new ones, open connections stay. Replace may be called on any
// thread.
#ifndef HOCKET_SERVICE_TLS_CREDENTIALS_H_
#define HOCKET_SERVICE_TLS_CREDENTIALS_H_

#include <grpcpp/security/server_credentials.h>

#include <memory>

#include "service/tls_identity.h"

namespace hocket {

class TlsCredentials {
 public:
  // Clients must have a certificate when `identity` has CAs; that cannot change later. TLS 1.2 or
  // 1.3.
  static std::shared_ptr<TlsCredentials> Make(TlsIdentity identity);
  virtual ~TlsCredentials() = default;

  // As LoadTlsIdentity gave it. Should gRPC not like it after all, it goes on with what it has.
  virtual void Replace(TlsIdentity identity) = 0;

  // For one port or acceptor of one server.
  virtual std::shared_ptr<grpc::ServerCredentials> ForPort() = 0;
};

}  // namespace hocket

#endif  // HOCKET_SERVICE_TLS_CREDENTIALS_H_
