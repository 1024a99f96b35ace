// `hocket serve`: the gRPC service on one model. Every flag can also come from a config file and
// from the environment.
#include <spdlog/sinks/stdout_sinks.h>
#include <spdlog/spdlog.h>

#include <limits>
#include <memory>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "CLI/CLI.hpp"
#include "absl/strings/ascii.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_replace.h"
#include "service/cli/address.h"
#include "service/cli/byte_size.h"
#include "service/cli/command.h"
#include "service/cli/flag_checks.h"
#include "service/cli/load_runtime.h"
#include "service/cli/log_setup.h"
#include "service/cli/memory_report.h"
#include "service/cli/model_flags.h"
#include "service/engine_settings.h"
#include "service/run_server.h"
#include "service/step_probe.h"
#include "service/stop_signals.h"

namespace hocket {
namespace {

constexpr int64_t kMaxInt32 = std::numeric_limits<int32_t>::max();

CLI::Validator Address(bool may_be_off) {
  return CLI::Validator(
      [may_be_off](std::string& text) -> std::string {
        if (may_be_off && text == "off") return "";
        return std::string(ParseAddress(text).status().message());
      },
      "");
}

// Names each flag's environment variable after it: --drain-seconds is HOCKET_DRAIN_SECONDS.
void NameEnvironment(CLI::App& app) {
  for (CLI::Option* option : app.get_options()) {
    if (option->get_lnames().empty() || !option->get_envname().empty()) continue;
    const std::string& name = option->get_lnames().front();
    if (name == "help" || name == "config") continue;
    option->envname(
        absl::StrCat("HOCKET_", absl::AsciiStrToUpper(absl::StrReplaceAll(name, {{"-", "_"}}))));
  }
}

void LogModel(const ModelInfo& info) {
  spdlog::info(
      "model {}: {:.1f} M parameters, weights {} in {}, KV cache {} in {} blocks, context {}, {} "
      "threads, {}",
      info.name, static_cast<double>(info.parameters) / 1e6, FormatByteSize(info.weight_bytes),
      PrecisionName(info.precision), FormatByteSize(info.kv_cache_bytes), info.kv_blocks,
      info.max_context_tokens, info.threads, info.cpu);
  spdlog::info("precision: weights {} ({}), keys and values {}", PrecisionName(info.precision),
               info.precision_reason, KvPrecisionName(info.kv_precision));
  for (const std::string& line : MemoryReport(info)) spdlog::info("memory: {}", line);
  if (info.ExpectedPeakBytes() > info.available_memory_bytes + info.process_bytes) {
    spdlog::warn("memory: the expected peak is more than is available; lower --kv-cache-bytes");
  }
}

class ServeCommand final : public Command {
 public:
  absl::string_view name() const override { return "serve"; }
  absl::string_view summary() const override { return "Serve a model over gRPC until SIGTERM"; }

  void AddFlags(CLI::App& app) override {
    app.set_config("--config", "", "TOML or INI file of settings, named as the flags are");
    app.get_config_ptr()->type_name("FILE")->envname("HOCKET_CONFIG");
    app.add_option("--listen", listen_, "gRPC address (port 0: any free one)")
        ->check(Address(false))
        ->capture_default_str()
        ->type_name("HOST:PORT");
    app.add_option("--metrics-listen", metrics_listen_, "Prometheus page's address, or off")
        ->check(Address(true))
        ->capture_default_str()
        ->type_name("HOST:PORT");
    app.add_option("--model-name", model_name_, "What clients call it (default: its folder)")
        ->type_name("NAME");
    model_.Add(app);
    AddLimits(app);
    app.add_option("--drain-seconds", drain_seconds_,
                   "Time that running requests get after SIGTERM")
        ->check(Number(0, 86400))
        ->capture_default_str()
        ->type_name("S");
    app.add_option("--target-inter-token-ms", target_ms_,
                   "Time between a stream's tokens that prompts beside it are cut to; 0: no bound "
                   "(default: four decode steps, measured at the start, 60 to 1000)")
        ->check(Number(0, 60000))
        ->type_name("MS");
    app.add_flag("--prefix-cache,!--no-prefix-cache", prefix_cache_,
                 "Keep computed blocks for prompts that begin alike (on unless turned off)");
    app.add_option("--speculation", speculation_,
                   "Where requests do not say: off, or prompt-lookup, which guesses tokens from "
                   "their own text")
        ->check(CLI::IsMember({"off", "prompt-lookup"}))
        ->capture_default_str();
    app.add_option(
           "--trace-plans", trace_plans_file_,
           "Write each plan and outcome to this file, for `hocket replay`; it holds prompts "
           "and answers as token ids")
        ->type_name("FILE");
    app.add_flag("--reflection,!--no-reflection", server_.reflection,
                 "gRPC reflection, for grpcurl (on unless turned off)");
    app.add_flag("--channelz", server_.channelz, "gRPC channelz, for debugging connections");
    app.add_option("--log-format", log_format_, "text or json, on stderr")
        ->check(CLI::IsMember({"text", "json"}))
        ->capture_default_str();
    app.add_option("--log-level", log_level_, "debug, info, warning or error")
        ->check(CLI::IsMember({"debug", "info", "warning", "error"}))
        ->capture_default_str();
    NameEnvironment(app);
  }

  absl::Status Check() override {
    absl::StatusOr<HostPort> listen = ParseAddress(listen_);
    if (!listen.ok()) return listen.status();
    server_.host = listen->host;
    server_.port = listen->port;
    server_.metrics_port = -1;
    if (metrics_listen_ != "off") {
      absl::StatusOr<HostPort> metrics = ParseAddress(metrics_listen_);
      if (!metrics.ok()) return metrics.status();
      server_.metrics_host = metrics->host;
      server_.metrics_port = metrics->port;
    }
    server_.drain = absl::Seconds(drain_seconds_);
    server_.sessions.retain = absl::Seconds(retain_seconds_);
    server_.sessions.slow_reader = absl::Seconds(slow_reader_seconds_);
    server_.prompt_lookup = speculation_ == "prompt-lookup";
    return server_.Validate();
  }

  absl::StatusOr<int> Run() override {
    SetUpLog(std::make_shared<spdlog::sinks::stderr_sink_mt>(), log_level_, log_format_ == "json");
    StopSignals signals;
    absl::StatusOr<RuntimeSettings> settings = model_.Resolve();
    if (!settings.ok()) return settings.status();
    settings->notice = [](std::string_view line) { spdlog::info("{}", line); };
    settings->later_notice = settings->notice;
    absl::StatusOr<std::unique_ptr<ModelRuntime>> runtime = LoadRuntime(*settings);
    if (!runtime.ok()) return runtime.status();
    LogModel((*runtime)->info());
    SchedulerSettings scheduler = SchedulerSettingsFor(*settings, (*runtime)->info());
    scheduler.admission = admission_;
    scheduler.prefix_cache = prefix_cache_;
    const absl::Status probed = SetTarget(scheduler, (*runtime)->executor());
    if (!probed.ok()) return probed;
    std::vector<LoadedModel> models;
    models.push_back({.name = model_name_,
                      .runtime = *std::move(runtime),
                      .scheduler = std::move(scheduler),
                      .trace_plans_file = trace_plans_file_});
    const absl::Status status = RunServer(server_, std::move(models), signals);
    if (!status.ok()) return status;
    return 0;
  }

 private:
  // Measures steps, and chooses the target between tokens where none is given.
  absl::Status SetTarget(SchedulerSettings& scheduler, Executor& executor) const {
    absl::StatusOr<StepProbe> probe = ProbeSteps(scheduler, &executor);
    if (!probe.ok()) return probe.status();
    scheduler.target_inter_token =
        target_ms_ < 0 ? DefaultTarget(*probe) : absl::Milliseconds(target_ms_);
    scheduler.measured_steps = std::move(probe->steps);
    spdlog::info("target between tokens: {:.0f} ms; a decode step of a small batch takes {:.1f} ms",
                 absl::ToDoubleMilliseconds(scheduler.target_inter_token),
                 absl::ToDoubleMilliseconds(probe->decode_step));
    return absl::OkStatus();
  }

  void AddLimits(CLI::App& app) {
    const auto limit = [&app](std::string flag, auto& value, std::string description, int64_t low,
                              int64_t high) {
      app.add_option(std::move(flag), value, std::move(description))
          ->check(WholeNumber(low, high))
          ->capture_default_str()
          ->type_name("N");
    };
    limit("--max-waiting-requests", admission_.max_waiting_requests,
          "Requests that may wait before new ones are refused", 1, kMaxInt32);
    limit("--max-waiting-tokens", admission_.max_waiting_tokens, "Prompt tokens that may wait", 1,
          kMaxInt32);
    limit("--max-tenant-waiting-requests", admission_.max_tenant_waiting_requests,
          "Requests of one tenant that may wait", 1, kMaxInt32);
    limit("--max-tenant-waiting-tokens", admission_.max_tenant_waiting_tokens,
          "Prompt tokens of one tenant that may wait", 1, kMaxInt32);
    limit("--max-tenant-requests", admission_.max_tenant_requests,
          "Requests of one tenant that may wait or run", 1, kMaxInt32);
    limit("--max-concurrent-streams", server_.max_concurrent_streams,
          "Calls at a time on one connection", 1, 1 << 20);
    limit("--max-text-threads", server_.max_text_threads, "Threads that tokenize and render chats",
          1, 256);
    limit("--max-queued-texts", server_.max_queued_texts, "Requests that may wait for one of those",
          1, 1 << 20);
    app.add_option("--retain-seconds", retain_seconds_,
                   "How long requests with an id are kept for clients that come back, after their "
                   "end or their client's leaving; 0: not at all")
        ->check(Number(0, 86400))
        ->capture_default_str()
        ->type_name("S");
    app.add_option("--retain-bytes", server_.sessions.retain_bytes,
                   "Memory for requests that are kept so; the oldest go first")
        ->transform(ByteSize())
        ->capture_default_str()
        ->type_name("SIZE");
    app.add_option("--slow-reader-seconds", slow_reader_seconds_,
                   "Time that a client may take to read what was sent to it")
        ->check(Number(0.1, 86400))
        ->capture_default_str()
        ->type_name("S");
    app.add_option("--max-prompt-bytes", server_.max_prompt_bytes, "Of a request's text or chat")
        ->transform(ByteSize())
        ->capture_default_str()
        ->type_name("SIZE");
    app.add_option("--max-message-bytes", server_.max_message_bytes, "Of one gRPC message")
        ->transform(ByteSize())
        ->capture_default_str()
        ->type_name("SIZE");
  }

  ModelFlags model_;
  ServerSettings server_;
  std::string model_name_;
  std::string trace_plans_file_;
  std::string listen_ = "127.0.0.1:50051";
  std::string metrics_listen_ = "127.0.0.1:9464";
  AdmissionLimits admission_;
  double target_ms_ = -1;  // Measured.
  std::string speculation_ = "off";
  bool prefix_cache_ = SchedulerSettings().prefix_cache;
  double drain_seconds_ = absl::ToDoubleSeconds(ServerSettings().drain);
  double retain_seconds_ = absl::ToDoubleSeconds(SessionSettings().retain);
  double slow_reader_seconds_ = absl::ToDoubleSeconds(SessionSettings().slow_reader);
  std::string log_format_ = "text";
  std::string log_level_ = "info";
};

}  // namespace

std::unique_ptr<Command> NewServeCommand() { return std::make_unique<ServeCommand>(); }

}  // namespace hocket
