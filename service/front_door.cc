#include "service/front_door.h"

#include <grpcpp/resource_quota.h>
#include <spdlog/spdlog.h>

#include <algorithm>
#include <limits>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "service/header_block_limit.h"
#include "service/listening_sockets.h"
#include "service/log_event.h"
#include "service/server_settings.h"

namespace hocket {
namespace {

// From the connection to the end of the TLS handshake and HTTP/2's settings.
constexpr int kHandshakeTimeoutMs = 10'000;
// Only gRPC's own services, reflection and channelz, have a thread for each call. With more of
// them a call is RESOURCE_EXHAUSTED.
constexpr int kMaxThreadsOfCalls = 32;

int MillisecondsOrNever(absl::Duration duration) {
  const int64_t never = std::numeric_limits<int>::max();
  return static_cast<int>(std::min(never, absl::ToInt64Milliseconds(duration)));
}

}  // namespace

absl::StatusOr<std::unique_ptr<FrontDoor>> FrontDoor::Open(const SecuritySettings& settings,
                                                           const std::string& host, int32_t port,
                                                           prometheus::Registry* registry) {
  std::unique_ptr<FrontDoor> door(new FrontDoor(settings));
  door->metrics_ = std::make_unique<DoorMetrics>(registry);
  absl::Status status = door->LoadTls();
  if (status.ok()) status = door->LoadKeys();
  if (status.ok()) status = door->OpenGate(host, port);
  if (!status.ok()) return status;
  door->ChooseAuthorizer(host);
  return door;
}

absl::Status FrontDoor::LoadTls() {
  if (!settings_.encrypted()) return absl::OkStatus();
  std::vector<std::string> files = {settings_.tls.certificate, settings_.tls.key};
  if (!settings_.tls.client_ca.empty()) files.push_back(settings_.tls.client_ca);
  watch_.Add(std::move(files), [this] { ReloadTls(); });
  absl::StatusOr<TlsIdentity> identity = LoadTlsIdentity(settings_.tls, absl::Now());
  if (!identity.ok()) return identity.status();
  NoteTls(*identity);
  tls_ = TlsCredentials::Make(*std::move(identity));
  return absl::OkStatus();
}

absl::Status FrontDoor::LoadKeys() {
  if (settings_.api_keys_file.empty()) return absl::OkStatus();
  watch_.Add({settings_.api_keys_file}, [this] { ReloadKeys(); });
  absl::StatusOr<ApiKeys> keys = ApiKeys::Load(settings_.api_keys_file);
  if (!keys.ok()) return keys.status();
  NoteKeys(*keys);
  tenants_ = keys->Tenants();
  auto authorizer = std::make_unique<KeyAuthorizer>(*std::move(keys));
  keys_ = authorizer.get();
  authorizer_ = std::move(authorizer);
  return absl::OkStatus();
}

absl::Status FrontDoor::OpenGate(const std::string& host, int32_t port) {
  ConnectionLimits limits;
  limits.max_connections = settings_.max_connections;
  limits.calls.max_calls_per_second = settings_.max_connection_calls_per_second;
  limits.calls.max_resets_per_second = settings_.max_connection_resets_per_second;
  limits.max_connections_per_address = settings_.max_connections_per_address;
  absl::StatusOr<std::unique_ptr<ConnectionGate>> gate = ConnectionGate::Open(host, port, limits);
  if (!gate.ok()) {
    return absl::UnavailableError(
        absl::StrCat("cannot listen on ", ListenAddress(host, port), ": ", gate.status().message(),
                     "; is the port taken? Choose another with --listen"));
  }
  gate_ = *std::move(gate);
  return absl::OkStatus();
}

void FrontDoor::ChooseAuthorizer(const std::string& host) {
  const bool exposed = !IsLoopback(host);
  if (authorizer_ == nullptr) {
    authorizer_ = std::make_unique<OpenAuthorizer>(/*may_admin=*/!exposed);
  }
  if (exposed && !settings_.identified()) {
    spdlog::warn(
        "anybody who reaches {} may use this server: there is neither --api-keys nor "
        "--tls-client-ca",
        ListenAddress(host, port()));
  }
}

void FrontDoor::Register(grpc::ServerBuilder& builder) {
  gate_->Register(builder, [this] {
    return tls_ == nullptr ? grpc::InsecureServerCredentials() : tls_->ForPort();
  });
  builder.AddChannelArgument(GRPC_ARG_SERVER_HANDSHAKE_TIMEOUT_MS, kHandshakeTimeoutMs);
  builder.AddChannelArgument(GRPC_ARG_MAX_CONNECTION_IDLE_MS,
                             MillisecondsOrNever(settings_.max_connection_idle));
  builder.AddChannelArgument(GRPC_ARG_MAX_CONNECTION_AGE_MS,
                             MillisecondsOrNever(settings_.max_connection_age));
  grpc::ResourceQuota quota("hocket");
  quota.Resize(static_cast<size_t>(settings_.max_buffer_bytes));
  quota.SetMaxThreads(kMaxThreadsOfCalls);
  builder.SetResourceQuota(quota);
}

void FrontDoor::Start(std::function<void(const std::vector<std::string>&)> tenants_named) {
  tenants_named_ = std::move(tenants_named);
  gate_->Start();
  watch_.Start([this] { LookAtExpiries(); });
}

void FrontDoor::ReloadTls() {
  absl::StatusOr<TlsIdentity> identity = LoadTlsIdentity(settings_.tls, absl::Now());
  NoteReload("tls", identity.status());
  if (!identity.ok()) return;
  NoteTls(*identity);
  tls_->Replace(*std::move(identity));
}

void FrontDoor::ReloadKeys() {
  absl::StatusOr<ApiKeys> keys = ApiKeys::Load(settings_.api_keys_file);
  NoteReload("api_keys", keys.status());
  if (!keys.ok()) return;
  NoteKeys(*keys);
  tenants_named_(keys->Tenants());  // Before anybody calls for one that is new.
  keys_->Replace(*std::move(keys));
}

void FrontDoor::NoteTls(const TlsIdentity& identity) {
  metrics_->SetCertificateExpiry(identity.expires);
  expiries_.SetCertificate({.name = identity.subject, .at = identity.expires}, absl::Now());
}

void FrontDoor::NoteKeys(const ApiKeys& keys) {
  LogEvent("api_keys").Count("keys", static_cast<int64_t>(keys.size())).Write();
  const absl::Time now = absl::Now();
  expiries_.SetKeys(keys.Expiries(), now);
  metrics_->SetKeyExpiry(expiries_.NextKey(now));
}

void FrontDoor::LookAtExpiries() {
  const absl::Time now = absl::Now();
  expiries_.Look(now);
  metrics_->SetKeyExpiry(expiries_.NextKey(now));
}

void FrontDoor::NoteReload(absl::string_view what, const absl::Status& status) {
  metrics_->CountReload(what, status.ok());
  LogEvent event("reload");
  event.Text("what", what).Text("outcome", status.ok() ? "ok" : "error");
  if (!status.ok()) event.Text("kept", "the old").Text("error", status.message());
  event.Write(status.ok() ? LogEvent::Level::kInfo : LogEvent::Level::kError);
}

void FrontDoor::UpdateMetrics() {
  metrics_->SetConnections(gate_->open_connections(), gate_->limit(), gate_->refused_connections());
  metrics_->SetEndedConnections(gate_->ended_connections(CallRateWatch::Excess::kCalls),
                                gate_->ended_connections(CallRateWatch::Excess::kResets));
  metrics_->SetHeaderBlocksRefused(HeaderBlocksRefused());
}

}  // namespace hocket
