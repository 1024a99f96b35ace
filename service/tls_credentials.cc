#include "service/tls_credentials.h"

#include <grpc/grpc.h>
#include <grpc/grpc_security.h>

#include <cstdint>
#include <mutex>
#include <string>
#include <utility>

namespace hocket {
namespace {

// The identity of now, and how many came before it.
class CurrentIdentity {
 public:
  explicit CurrentIdentity(TlsIdentity identity)
      : wants_clients_(!identity.client_ca_pem.empty()), identity_(std::move(identity)) {}

  bool wants_clients() const { return wants_clients_; }

  void Replace(TlsIdentity identity) {
    std::lock_guard lock(mutex_);
    identity_ = std::move(identity);
    ++generation_;
  }

  // The caller owns `config`.
  grpc_ssl_certificate_config_reload_status Fetch(uint64_t& seen_generation,
                                                  grpc_ssl_server_certificate_config** config) {
    std::lock_guard lock(mutex_);
    if (seen_generation == generation_) return GRPC_SSL_CERTIFICATE_CONFIG_RELOAD_UNCHANGED;
    seen_generation = generation_;
    const grpc_ssl_pem_key_cert_pair pair = {identity_.key_pem.c_str(),
                                             identity_.certificate_pem.c_str()};
    // gRPC 1.51 insists on CAs for clients; where no client is asked for a certificate, any will
    // do.
    const std::string& authorities =
        wants_clients_ ? identity_.client_ca_pem : identity_.certificate_pem;
    *config = grpc_ssl_server_certificate_config_create(authorities.c_str(), &pair, 1);
    return GRPC_SSL_CERTIFICATE_CONFIG_RELOAD_NEW;
  }

 private:
  const bool wants_clients_;
  std::mutex mutex_;
  TlsIdentity identity_;     // Guarded by mutex_.
  uint64_t generation_ = 1;  // Guarded by mutex_.
};

// gRPC's C interface asks for the certificate before each handshake, and keeps the one it has when
// the new one is of no use; of the C++ interface, neither the provider that watches files nor the
// static one can promise that. Hence a credentials class around the C interface.
class PortCredentials final : public grpc::ServerCredentials {
 public:
  explicit PortCredentials(std::shared_ptr<CurrentIdentity> current)
      : current_(std::move(current)) {
    const auto fetch = [](void* self, grpc_ssl_server_certificate_config** config) {
      auto* credentials = static_cast<PortCredentials*>(self);
      return credentials->current_->Fetch(credentials->seen_generation_, config);
    };
    credentials_ = grpc_ssl_server_credentials_create_with_options(
        grpc_ssl_server_credentials_create_options_using_config_fetcher(
            current_->wants_clients() ? GRPC_SSL_REQUEST_AND_REQUIRE_CLIENT_CERTIFICATE_AND_VERIFY
                                      : GRPC_SSL_DONT_REQUEST_CLIENT_CERTIFICATE,
            fetch, this));
  }
  ~PortCredentials() override { grpc_server_credentials_release(credentials_); }

  void SetAuthMetadataProcessor(
      const std::shared_ptr<grpc::AuthMetadataProcessor>& /*processor*/) override {}

 private:
  int AddPortToServer(const std::string& address, grpc_server* server) override {
    return grpc_server_add_http2_port(server, address.c_str(), credentials_);
  }

  const std::shared_ptr<CurrentIdentity> current_;
  uint64_t seen_generation_ = 0;  // gRPC fetches under a lock of the port's.
  grpc_server_credentials* credentials_ = nullptr;
};

class ReplaceableCredentials final : public TlsCredentials {
 public:
  explicit ReplaceableCredentials(TlsIdentity identity)
      : current_(std::make_shared<CurrentIdentity>(std::move(identity))) {}

  void Replace(TlsIdentity identity) override { current_->Replace(std::move(identity)); }
  std::shared_ptr<grpc::ServerCredentials> ForPort() override {
    return std::make_shared<PortCredentials>(current_);
  }

 private:
  const std::shared_ptr<CurrentIdentity> current_;
};

}  // namespace

std::shared_ptr<TlsCredentials> TlsCredentials::Make(TlsIdentity identity) {
  return std::make_shared<ReplaceableCredentials>(std::move(identity));
}

}  // namespace hocket
