#include "service/server.h"

#include <grpc/support/log.h>
#include <grpcpp/ext/channelz_service_plugin.h>
#include <grpcpp/ext/proto_server_reflection_plugin.h>
#include <grpcpp/grpcpp.h>
#include <prometheus/registry.h>
#include <spdlog/spdlog.h>

#include <mutex>
#include <numeric>
#include <set>
#include <string>
#include <thread>
#include <utility>

#include "absl/strings/str_cat.h"
#include "service/front_door.h"
#include "service/health_service.h"
#include "service/health_watch.h"
#include "service/hocket_service.h"
#include "service/hosted_model.h"
#include "service/load_report.h"
#include "service/metrics_page.h"
#include "service/metrics_server.h"
#include "service/receive_watch.h"
#include "service/reflection_limit.h"
#include "service/server_metrics.h"
#include "service/session_registry.h"
#include "service/without_reflection.h"

namespace hocket {
namespace {

constexpr absl::Duration kFlushGrace = absl::Seconds(2);  // For answers to reach their clients.
constexpr int kKeepaliveTimeMs = 60'000;
constexpr int kKeepaliveTimeoutMs = 20'000;
constexpr int kMinClientPingMs = 10'000;
constexpr int kMaxMetadataBytes = 16 << 10;

// gRPC writes to standard error what our own statuses already say; --log-level debug shows it.
void LogGrpc(gpr_log_func_args* args) { spdlog::debug("grpc: {}", args->message); }

class GrpcServer final : public Server {
 public:
  explicit GrpcServer(const ServerSettings& settings)
      : settings_(settings), text_pool_(settings.max_text_threads, settings.max_queued_texts) {}

  ~GrpcServer() override {
    if (!stopped_) Stop(absl::Now());
  }

  absl::Status OpenDoor();
  absl::Status Host(const std::vector<ModelToHost>& models);
  absl::Status Listen();
  int32_t port() const override { return door_->port(); }
  int32_t metrics_port() const override { return pages_ == nullptr ? -1 : pages_->port(); }
  void Reload(const absl::StatusOr<LiveSettings>& live) override;
  int Stop(absl::Time deadline) override;

 private:
  CallParts PartsOf(HostedModel& model);
  absl::Status ListenForPages();
  void WatchHealth();
  void UpdateMetrics();
  int Drain(absl::Time deadline);

  const ServerSettings settings_;
  // In the order in which they need each other: the engines' sinks use the delivery thread and the
  // metrics, the calls use all of them.
  prometheus::Registry registry_;
  ServerMetrics server_metrics_{&registry_};
  MetricsPage page_{&registry_, settings_.metrics_names, [this] { UpdateMetrics(); }};
  LoadSampler load_;
  SessionRegistry sessions_{settings_.sessions, &delivery_};
  ReceiveWatch receives_{settings_.slow_sender, &delivery_};
  DeliveryThread delivery_;  // Ends before what it does things for.
  std::unique_ptr<FrontDoor> door_;
  std::vector<std::unique_ptr<HostedModel>> models_;
  TextPool text_pool_;
  std::unique_ptr<HocketService> service_;
  std::unique_ptr<HealthService> health_service_;
  std::unique_ptr<grpc::Server> grpc_;
  std::unique_ptr<HealthWatch> health_;
  std::unique_ptr<MetricsServer> pages_;
  bool stopped_ = false;
};

absl::Status GrpcServer::OpenDoor() {
  absl::StatusOr<std::unique_ptr<FrontDoor>> door =
      FrontDoor::Open(settings_.security, settings_.host, settings_.port, &registry_);
  if (!door.ok()) return door.status();
  door_ = *std::move(door);
  return absl::OkStatus();
}

absl::Status GrpcServer::Host(const std::vector<ModelToHost>& models) {
  std::vector<CallParts> parts;
  for (const ModelToHost& to_host : models) {
    absl::StatusOr<std::unique_ptr<HostedModel>> hosted =
        HostedModel::Host(to_host, settings_, &registry_, &load_);
    if (!hosted.ok()) return hosted.status();
    models_.push_back(*std::move(hosted));
    parts.push_back(PartsOf(*models_.back()));
  }
  service_ = std::make_unique<HocketService>(
      std::move(parts), models.front().scheduler.block_tokens, &receives_, door_->left_calls());
  return absl::OkStatus();
}

CallParts GrpcServer::PartsOf(HostedModel& model) {
  CallParts parts = model.Parts();
  parts.server_metrics = &server_metrics_;
  model.metrics().NameTenants(door_->tenants());
  parts.authorizer = &door_->authorizer();
  parts.text_pool = &text_pool_;
  parts.delivery = &delivery_;
  parts.sessions = &sessions_;
  parts.log_prompts = settings_.log_prompts;
  return parts;
}

absl::Status GrpcServer::Listen() {
  static std::once_flag plugins;
  std::call_once(plugins, [this] {
    gpr_set_log_function(&LogGrpc);
    grpc::reflection::InitProtoReflectionServerBuilderPlugin();
    if (settings_.channelz) grpc::channelz::experimental::InitChannelzService();
  });
  grpc::ServerBuilder builder;
  door_->Register(builder);
  const bool open_to_all = settings_.security.api_keys_file.empty();
  if (!settings_.reflection.value_or(open_to_all)) builder.SetOption(WithoutReflection());
  builder.RegisterService(service_.get());
  health_service_ = std::make_unique<HealthService>(&receives_, door_->left_calls());
  builder.RegisterService(health_service_.get());
  std::vector<std::unique_ptr<grpc::experimental::ServerInterceptorFactoryInterface>> interceptors;
  interceptors.push_back(std::make_unique<ReflectionLimit>(&receives_));
  builder.experimental().SetInterceptorCreators(std::move(interceptors));
  builder.SetMaxReceiveMessageSize(settings_.max_message_bytes);
  builder.SetMaxSendMessageSize(-1);
  builder.AddChannelArgument(GRPC_ARG_MAX_CONCURRENT_STREAMS, settings_.max_concurrent_streams);
  builder.AddChannelArgument(GRPC_ARG_MAX_METADATA_SIZE, kMaxMetadataBytes);
  builder.AddChannelArgument(GRPC_ARG_KEEPALIVE_TIME_MS, kKeepaliveTimeMs);
  builder.AddChannelArgument(GRPC_ARG_KEEPALIVE_TIMEOUT_MS, kKeepaliveTimeoutMs);
  builder.AddChannelArgument(GRPC_ARG_KEEPALIVE_PERMIT_WITHOUT_CALLS, 1);
  builder.AddChannelArgument(GRPC_ARG_HTTP2_MIN_RECV_PING_INTERVAL_WITHOUT_DATA_MS,
                             kMinClientPingMs);
  grpc_ = builder.BuildAndStart();
  if (grpc_ == nullptr) return absl::UnavailableError("gRPC does not start; see --log-level debug");
  door_->Start([this](const std::vector<std::string>& tenants) {
    for (const auto& model : models_) model->metrics().NameTenants(tenants);
  });
  WatchHealth();
  return settings_.metrics_port < 0 ? absl::OkStatus() : ListenForPages();
}

void GrpcServer::WatchHealth() {
  std::vector<WatchedModel> watched;
  for (const auto& model : models_) watched.push_back(model->Watched());
  health_ = std::make_unique<HealthWatch>(
      settings_.health, std::move(watched),
      [this](const std::string& name, bool serving) { health_service_->SetServing(name, serving); },
      [this] { load_.Sample(); });
  health_->Look();  // So that each name is known to the first who asks.
  health_->Start();
}

absl::Status GrpcServer::ListenForPages() {
  PageSources sources;
  sources.metrics = [this] { return page_.Text(); };
  sources.healthy = [this] { return health_->Live(); };
  sources.ready = [this] { return health_->Ready(); };
  absl::StatusOr<std::unique_ptr<MetricsServer>> pages =
      MetricsServer::Start(settings_.metrics_host, settings_.metrics_port, std::move(sources));
  if (!pages.ok()) return pages.status();
  pages_ = *std::move(pages);
  return absl::OkStatus();
}

void GrpcServer::UpdateMetrics() {
  door_->UpdateMetrics();
  server_metrics_.UpdateLogLines();
  server_metrics_.SetSlowSenders(receives_.given_up());
  for (const auto& model : models_) model->UpdateMetrics();
  const SessionRegistry::Retained retained = sessions_.retained();
  server_metrics_.SetRetained(retained.sessions, retained.bytes, retained.expired,
                              retained.evicted);
}

void GrpcServer::Reload(const absl::StatusOr<LiveSettings>& live) {
  door_->Reload();
  door_->CountReload("config", live.ok());
  if (!live.ok()) return;
  sessions_.SetSettings(live->sessions);
  receives_.SetLimit(live->slow_sender);
  for (const auto& model : models_) model->SetAdmission(live->admission);
}

int GrpcServer::Drain(absl::Time deadline) {
  std::vector<int> ended(models_.size());
  std::vector<std::thread> drains;
  for (size_t i = 0; i < models_.size(); ++i) {
    drains.emplace_back(
        [this, i, deadline, &ended] { ended[i] = models_[i]->engine().Drain(deadline); });
  }
  for (std::thread& drain : drains) drain.join();
  return std::accumulate(ended.begin(), ended.end(), 0);
}

int GrpcServer::Stop(absl::Time deadline) {
  stopped_ = true;
  sessions_.Drain();
  if (grpc_ == nullptr) return 0;
  health_->Drain();
  const int ended = Drain(deadline);
  door_->StopAccepting();
  grpc_->Shutdown(absl::ToChronoTime(absl::Now() + kFlushGrace));
  grpc_->Wait();
  pages_.reset();
  health_.reset();
  return ended;
}

// Gives each its name, and refuses one that is taken.
absl::Status NameModels(std::vector<ModelToHost>& models) {
  if (models.empty()) return absl::InvalidArgumentError("models: there is none to serve");
  std::set<std::string> names;
  for (ModelToHost& to_host : models) {
    if (to_host.name.empty()) to_host.name = to_host.model.info.name;
    if (!names.insert(to_host.name).second) {
      return absl::InvalidArgumentError(
          absl::StrCat("models: two of them are called \"", to_host.name, "\""));
    }
  }
  return absl::OkStatus();
}

}  // namespace

absl::StatusOr<std::unique_ptr<Server>> Server::Start(const ServerSettings& settings,
                                                      std::vector<ModelToHost> models) {
  absl::Status status = settings.Validate();
  status.Update(NameModels(models));
  if (!status.ok()) return status;
  auto server = std::make_unique<GrpcServer>(settings);
  status = server->OpenDoor();
  if (status.ok()) status = server->Host(models);
  if (status.ok()) status = server->Listen();
  if (!status.ok()) return status;
  return server;
}

}  // namespace hocket
