// All that stands between the network and the service: the gate that counts connections, TLS, and
// who calls. Certificates and keys are read again when their files change; files that are wrong
// change nothing but the log and a metric. Made and started with the server, on one thread, and
// outlives it.
#ifndef HOCKET_SERVICE_FRONT_DOOR_H_
#define HOCKET_SERVICE_FRONT_DOOR_H_

#include <grpcpp/server_builder.h>
#include <prometheus/registry.h>

#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "service/authorizer.h"
#include "service/connection_gate.h"
#include "service/door_metrics.h"
#include "service/expiry_watch.h"
#include "service/file_watch.h"
#include "service/key_authorizer.h"
#include "service/security_settings.h"
#include "service/tls_credentials.h"

namespace hocket {

class FrontDoor {
 public:
  // Reads the files and takes the address, but lets nobody in. INVALID_ARGUMENT for what is wrong
  // with a file, UNAVAILABLE naming the address when it cannot be had. `settings` are valid.
  static absl::StatusOr<std::unique_ptr<FrontDoor>> Open(const SecuritySettings& settings,
                                                         const std::string& host, int32_t port,
                                                         prometheus::Registry* registry);

  int32_t port() const { return gate_->port(); }
  const Authorizer& authorizer() const { return *authorizer_; }
  LeftCalls* left_calls() { return &gate_->left_calls(); }  // For who learns of them.
  // That keys name, as of the start; each once.
  const std::vector<std::string>& tenants() const { return tenants_; }

  // In this order: on the builder, when the server runs, and before it is shut down.
  void Register(grpc::ServerBuilder& builder);
  // `tenants_named` is called on a thread of the door's with all tenants of each key file that is
  // read from then on.
  void Start(std::function<void(const std::vector<std::string>&)> tenants_named);
  void StopAccepting() {
    gate_->StopAccepting();
    watch_.Stop();  // What it calls may end before it does.
  }

  void Reload() { watch_.ReloadAll(); }  // Of all files, soon. Any thread.
  void UpdateMetrics();                  // Before they are read. Any thread.
  // As DoorMetrics. Any thread.
  void CountReload(absl::string_view what, bool ok) { metrics_->CountReload(what, ok); }

 private:
  explicit FrontDoor(const SecuritySettings& settings) : settings_(settings) {}

  absl::Status LoadTls();
  absl::Status LoadKeys();
  absl::Status OpenGate(const std::string& host, int32_t port);
  void ChooseAuthorizer(const std::string& host);
  void ReloadTls();
  void ReloadKeys();
  void NoteTls(const TlsIdentity& identity);
  void NoteKeys(const ApiKeys& keys);
  void LookAtExpiries();
  void NoteReload(absl::string_view what, const absl::Status& status);

  const SecuritySettings settings_;
  std::unique_ptr<DoorMetrics> metrics_;
  std::shared_ptr<TlsCredentials> tls_;  // Null: plaintext.
  std::unique_ptr<Authorizer> authorizer_;
  KeyAuthorizer* keys_ = nullptr;  // The authorizer, where there are keys.
  std::vector<std::string> tenants_;
  std::function<void(const std::vector<std::string>&)> tenants_named_;
  ExpiryWatch expiries_;  // Of the watch's thread, once that runs.
  std::unique_ptr<ConnectionGate> gate_;
  FileWatch watch_;  // Last: its thread uses the others.
};

}  // namespace hocket

#endif  // HOCKET_SERVICE_FRONT_DOOR_H_
