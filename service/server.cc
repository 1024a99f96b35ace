#include "service/server.h"

#include <grpc/support/log.h>
#include <grpcpp/ext/channelz_service_plugin.h>
#include <grpcpp/ext/proto_server_reflection_plugin.h>
#include <grpcpp/grpcpp.h>
#include <grpcpp/health_check_service_interface.h>
#include <prometheus/registry.h>
#include <prometheus/text_serializer.h>
#include <spdlog/spdlog.h>

#include <atomic>
#include <fstream>
#include <mutex>
#include <utility>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "scheduler/engine.h"
#include "scheduler/plan_trace.h"
#include "service/hocket_service.h"
#include "service/metrics_server.h"

namespace hocket {
namespace {

constexpr char kServiceName[] = "hocket.v1.Hocket";
constexpr absl::Duration kStallLimit = absl::Seconds(60);  // A step that takes longer is unhealthy.
constexpr absl::Duration kFlushGrace = absl::Seconds(2);   // For answers to reach their clients.
constexpr int kKeepaliveTimeMs = 60'000;
constexpr int kKeepaliveTimeoutMs = 20'000;
constexpr int kMinClientPingMs = 10'000;
constexpr int kMaxMetadataBytes = 16 << 10;

absl::Status Check(absl::string_view name, int64_t value, int64_t low, int64_t high) {
  if (value >= low && value <= high) return absl::OkStatus();
  return absl::InvalidArgumentError(
      absl::StrCat(name, ": ", value, " is out of range [", low, ", ", high, "]"));
}

// gRPC writes to standard error what our own statuses already say; --log-level debug shows it.
void LogGrpc(gpr_log_func_args* args) { spdlog::debug("grpc: {}", args->message); }

class GrpcServer final : public Server {
 public:
  GrpcServer(const ServerSettings& settings, const SchedulerSettings& scheduler,
             const ServedModel& model)
      : settings_(settings),
        metrics_(&registry_, model.info),
        validator_(settings.model_name.empty() ? model.info.name : settings.model_name, model.info,
                   model.text, settings.max_prompt_bytes, settings.prompt_lookup),
        trace_(OpenTrace(settings, scheduler)),
        engine_(scheduler, model.executor, &metrics_, absl::Now,
                trace_ == nullptr ? nullptr : &trace_->writer),
        text_pool_(settings.max_text_threads, settings.max_queued_texts),
        service_({{.engine = &engine_,
                   .validator = &validator_,
                   .text = model.text,
                   .metrics = &metrics_,
                   .authorizer = &authorizer_,
                   .text_pool = &text_pool_,
                   .delivery = &delivery_,
                   .calls = &calls_}},
                 scheduler.block_tokens) {}

  ~GrpcServer() override {
    if (!stopped_) Stop(absl::Now());
  }

  bool has_trace_it_needs() const {
    return settings_.trace_plans_file.empty() || trace_->file.is_open();
  }
  absl::Status Listen();
  int32_t port() const override { return port_; }
  int32_t metrics_port() const override { return pages_ == nullptr ? -1 : pages_->port(); }
  int Stop(absl::Time deadline) override;

 private:
  struct Trace {
    Trace(const std::string& path, const SchedulerSettings& scheduler)
        : file(path), writer(scheduler, &file) {}
    std::ofstream file;
    PlanTraceWriter writer;
  };
  static std::unique_ptr<Trace> OpenTrace(const ServerSettings& settings,
                                          const SchedulerSettings& scheduler) {
    if (settings.trace_plans_file.empty()) return nullptr;
    return std::make_unique<Trace>(settings.trace_plans_file, scheduler);
  }

  absl::Status ListenForPages();
  std::string MetricsPage();
  absl::Status Healthy() const;

  const ServerSettings settings_;
  // In the order in which they need each other: the engine's sinks use the delivery thread and the
  // metrics, the calls use all of them.
  prometheus::Registry registry_;
  Metrics metrics_;
  Validator validator_;
  CallRegistry calls_;
  DeliveryThread delivery_;
  std::unique_ptr<Trace> trace_;  // May be null.
  Engine engine_;
  TextPool text_pool_;
  OpenAuthorizer authorizer_{/*may_admin=*/true};
  HocketService service_;
  std::unique_ptr<grpc::Server> grpc_;
  std::unique_ptr<MetricsServer> pages_;
  int32_t port_ = -1;
  std::atomic<bool> draining_ = false;
  bool stopped_ = false;
};

absl::Status GrpcServer::Listen() {
  static std::once_flag plugins;
  std::call_once(plugins, [this] {
    gpr_set_log_function(&LogGrpc);
    grpc::EnableDefaultHealthCheckService(true);
    if (settings_.reflection) grpc::reflection::InitProtoReflectionServerBuilderPlugin();
    if (settings_.channelz) grpc::channelz::experimental::InitChannelzService();
  });
  const std::string address = ListenAddress(settings_.host, settings_.port);
  grpc::ServerBuilder builder;
  int bound_port = 0;
  builder.AddListeningPort(address, grpc::InsecureServerCredentials(), &bound_port);
  builder.RegisterService(&service_);
  builder.SetMaxReceiveMessageSize(settings_.max_message_bytes);
  builder.SetMaxSendMessageSize(-1);
  // Else two servers would share a port, and one would be met at random.
  builder.AddChannelArgument(GRPC_ARG_ALLOW_REUSEPORT, 0);
  builder.AddChannelArgument(GRPC_ARG_MAX_CONCURRENT_STREAMS, settings_.max_concurrent_streams);
  builder.AddChannelArgument(GRPC_ARG_MAX_METADATA_SIZE, kMaxMetadataBytes);
  builder.AddChannelArgument(GRPC_ARG_KEEPALIVE_TIME_MS, kKeepaliveTimeMs);
  builder.AddChannelArgument(GRPC_ARG_KEEPALIVE_TIMEOUT_MS, kKeepaliveTimeoutMs);
  builder.AddChannelArgument(GRPC_ARG_KEEPALIVE_PERMIT_WITHOUT_CALLS, 1);
  builder.AddChannelArgument(GRPC_ARG_HTTP2_MIN_RECV_PING_INTERVAL_WITHOUT_DATA_MS,
                             kMinClientPingMs);
  grpc_ = builder.BuildAndStart();
  if (grpc_ == nullptr || bound_port == 0) {
    return absl::UnavailableError(absl::StrCat(
        "cannot listen on ", address, ": is the port taken? Choose another with --listen"));
  }
  port_ = bound_port;
  grpc_->GetHealthCheckService()->SetServingStatus(kServiceName, true);
  return settings_.metrics_port < 0 ? absl::OkStatus() : ListenForPages();
}

absl::Status GrpcServer::ListenForPages() {
  PageSources sources;
  sources.metrics = [this] { return MetricsPage(); };
  sources.healthy = [this] { return Healthy(); };
  sources.ready = [this] {
    return draining_ ? absl::UnavailableError("the server drains") : absl::OkStatus();
  };
  absl::StatusOr<std::unique_ptr<MetricsServer>> pages =
      MetricsServer::Start(settings_.metrics_host, settings_.metrics_port, std::move(sources));
  if (!pages.ok()) return pages.status();
  pages_ = *std::move(pages);
  return absl::OkStatus();
}

std::string GrpcServer::MetricsPage() {
  metrics_.SetStats(engine_.Stats());
  return prometheus::TextSerializer().Serialize(registry_.Collect());
}

absl::Status GrpcServer::Healthy() const {
  const SchedulerStats stats = engine_.Stats();
  const bool working = stats.running_sequences > 0 || stats.waiting_requests > 0;
  const absl::Duration quiet = absl::Now() - engine_.LastProgress();
  if (!working || quiet < kStallLimit) return absl::OkStatus();
  return absl::UnavailableError(
      absl::StrCat("no step has ended for ", absl::ToInt64Seconds(quiet), " seconds"));
}

int GrpcServer::Stop(absl::Time deadline) {
  stopped_ = true;
  draining_ = true;
  if (grpc_ == nullptr) return 0;
  grpc_->GetHealthCheckService()->SetServingStatus(false);
  const int ended = engine_.Drain(deadline);
  grpc_->Shutdown(absl::ToChronoTime(absl::Now() + kFlushGrace));
  grpc_->Wait();
  pages_.reset();
  return ended;
}

}  // namespace

std::string ListenAddress(const std::string& host, int32_t port) {
  const bool bare_ipv6 = absl::StrContains(host, ':') && !absl::StartsWith(host, "[");
  return bare_ipv6 ? absl::StrCat("[", host, "]:", port) : absl::StrCat(host, ":", port);
}

absl::Status ServerSettings::Validate() const {
  if (host.empty()) return absl::InvalidArgumentError("host: is empty");
  absl::Status status = Check("port", port, 0, 65535);
  status.Update(Check("metrics_port", metrics_port, -1, 65535));
  status.Update(Check("max_prompt_bytes", max_prompt_bytes, 1, int64_t{1} << 30));
  status.Update(Check("max_message_bytes", max_message_bytes, 1 << 10, 1 << 30));
  status.Update(Check("max_concurrent_streams", max_concurrent_streams, 1, 1 << 20));
  status.Update(Check("max_text_threads", max_text_threads, 1, 256));
  status.Update(Check("max_queued_texts", max_queued_texts, 1, 1 << 20));
  if (drain < absl::ZeroDuration()) {
    status.Update(absl::InvalidArgumentError("drain: is negative"));
  }
  return status;
}

absl::StatusOr<std::unique_ptr<Server>> Server::Start(const ServerSettings& settings,
                                                      const SchedulerSettings& scheduler,
                                                      const ServedModel& model) {
  absl::Status status = settings.Validate();
  status.Update(scheduler.Validate());
  if (!status.ok()) return status;
  auto server = std::make_unique<GrpcServer>(settings, scheduler, model);
  if (!server->has_trace_it_needs()) {
    return absl::InvalidArgumentError(
        absl::StrCat("trace_plans_file: ", settings.trace_plans_file, " cannot be written"));
  }
  status = server->Listen();
  if (!status.ok()) return status;
  return server;
}

}  // namespace hocket
