#include "service/cli/serve_flags.h"

#include <limits>
#include <memory>
#include <utility>

#include "CLI/CLI.hpp"
#include "absl/strings/ascii.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_replace.h"
#include "service/cli/address.h"
#include "service/cli/byte_size.h"
#include "service/cli/flag_checks.h"
#include "service/cli/help_text.h"

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

CLI::Validator Choice() {
  return CLI::Validator(
      [](std::string& text) { return std::string(ParseModelChoice(text).status().message()); }, "");
}

// Names each flag's environment variable after it: --drain-seconds is HOCKET_DRAIN_SECONDS.
void NameEnvironment(CLI::App& app) {
  for (CLI::Option* option : app.get_options()) {
    if (option->get_lnames().empty() || !option->get_envname().empty()) continue;
    if (!option->get_configurable()) continue;
    const std::string& name = option->get_lnames().front();
    option->envname(
        absl::StrCat("HOCKET_", absl::AsciiStrToUpper(absl::StrReplaceAll(name, {{"-", "_"}}))));
  }
}

// A flag that is on or off; its default is told by --print-config.
CLI::Option* Switch(CLI::App& app, std::string names, bool& value, std::string description) {
  return app.add_flag(std::move(names), value, std::move(description))
      ->default_str(value ? "true" : "false");
}

void Limit(CLI::App& app, std::string flag, auto& value, std::string description, int64_t low,
           int64_t high) {
  app.add_option(std::move(flag), value, std::move(description))
      ->check(WholeNumber(low, high))
      ->capture_default_str()
      ->type_name("N");
}

void Size(CLI::App& app, std::string flag, auto& value, std::string description) {
  app.add_option(std::move(flag), value, std::move(description))
      ->transform(ByteSize())
      ->capture_default_str()
      ->type_name("SIZE");
}

void Seconds(CLI::App& app, std::string flag, double& value, std::string description, double low) {
  app.add_option(std::move(flag), value, std::move(description))
      ->check(Number(low, 86400))
      ->capture_default_str()
      ->type_name("S");
}

}  // namespace

void ServeFlags::Add(CLI::App& app) {
  // Each has one, named by one rule.
  app.formatter(std::make_shared<HelpText>(/*names_variables=*/false));
  app.footer(
      "Each setting can also come from the environment, where --drain-seconds is "
      "HOCKET_DRAIN_SECONDS,\nor from the file of --config; the command line comes first, then the "
      "environment.");
  app.set_config("--config", "", "TOML file of settings, named as the flags are")
      ->type_name("FILE")
      ->envname("HOCKET_CONFIG")
      ->configurable(false);
  app.get_help_ptr()->configurable(false);
  app.add_flag("--print-config", print_config,
               "Print the settings in effect as a config file, and end")
      ->configurable(false);
  app.add_flag("--check-config", check_config,
               "Say whether the settings are good (status 0, else 2), and end")
      ->configurable(false);
  // The options that come next are the group's.
  const auto group = [&app](const std::string& name) { app.option_defaults()->group(name); };
  group("Model");
  AddModel(app);
  group("Network");
  AddNetwork(app);
  group("Security");
  security_.AddFiles(app);
  group("Limits");
  AddLimits(app);
  group("Sessions");
  AddSessions(app);
  group("Observability");
  AddObservability(app);
  NameEnvironment(app);
}

void ServeFlags::AddModel(CLI::App& app) {
  app.add_option("-m,--model", model_texts_,
                 "Folder of a Hugging Face model (default: the model that comes along). Several "
                 "models: NAME=DIR[,KEY=VALUE]..., repeated; the first is the default, and KEY is "
                 "precision, kv-precision, threads, kv-cache-bytes or trace-plans")
      ->check(Choice())
      ->multi_option_policy(CLI::MultiOptionPolicy::TakeAll)
      ->allow_extra_args(false)
      ->type_name("[NAME=]DIR");
  app.add_option("--model-name", model_name_,
                 "What clients call a model given as DIR (default: its folder)")
      ->type_name("NAME");
  loading_.AddLoading(app);
  app.add_option("--target-inter-token-ms", target_ms_,
                 "Time between a stream's tokens that prompts beside it are cut to; 0: no bound "
                 "(default: six decode steps, measured at the start, 60 to 1000)")
      ->check(Number(0, 60000))
      ->type_name("MS");
  Switch(app, "--prefix-cache,!--no-prefix-cache", hosting.prefix_cache,
         "Keep computed blocks for prompts that begin alike (on unless turned off)");
  app.add_option("--speculation", speculation_,
                 "Where requests do not say: off, or prompt-lookup, which guesses tokens from "
                 "their own text")
      ->check(CLI::IsMember({"off", "prompt-lookup"}))
      ->capture_default_str();
}

void ServeFlags::AddNetwork(CLI::App& app) {
  app.add_option("--listen", listen_, "gRPC address (port 0: any free one)")
      ->check(Address(false))
      ->capture_default_str()
      ->type_name("HOST:PORT");
  app.add_option("--metrics-listen", metrics_listen_, "Prometheus page's address, or off")
      ->check(Address(true))
      ->capture_default_str()
      ->type_name("HOST:PORT");
  Limit(app, "--max-concurrent-streams", server.max_concurrent_streams,
        "Calls at a time on one connection", 1, 1 << 20);
  Size(app, "--max-message-bytes", server.max_message_bytes, "Of one gRPC message");
  Seconds(app, "--slow-sender-seconds", slow_sender_seconds_,
          "Time that a client may take to send a call's message whole", 0.1);
  Seconds(app, "--drain-seconds", drain_seconds_, "Time that running requests get after SIGTERM",
          0);
  security_.AddLimits(app);
  app.add_flag_function(
      "--reflection,!--no-reflection", [this](int64_t count) { server.reflection = count > 0; },
      "gRPC reflection, for grpcurl (on unless turned off or --api-keys is given)");
  Switch(app, "--channelz", server.channelz, "gRPC channelz, for debugging connections");
}

void ServeFlags::AddLimits(CLI::App& app) {
  AdmissionLimits& admission = hosting.admission;
  Limit(app, "--max-waiting-requests", admission.max_waiting_requests,
        "Requests of a model that may wait before new ones are refused", 1, kMaxInt32);
  Limit(app, "--max-waiting-tokens", admission.max_waiting_tokens, "Prompt tokens that may wait", 1,
        kMaxInt32);
  Limit(app, "--max-tenant-waiting-requests", admission.max_tenant_waiting_requests,
        "Requests of one tenant that may wait", 1, kMaxInt32);
  Limit(app, "--max-tenant-waiting-tokens", admission.max_tenant_waiting_tokens,
        "Prompt tokens of one tenant that may wait", 1, kMaxInt32);
  Limit(app, "--max-tenant-requests", admission.max_tenant_requests,
        "Requests of one tenant that may wait or run", 1, kMaxInt32);
  Size(app, "--max-prompt-bytes", server.max_prompt_bytes, "Of a request's text or chat");
  Limit(app, "--max-text-threads", server.max_text_threads,
        "Threads that tokenize and render chats", 1, 256);
  Limit(app, "--max-queued-texts", server.max_queued_texts,
        "Requests that may wait for one of those", 1, 1 << 20);
}

void ServeFlags::AddSessions(CLI::App& app) {
  Seconds(app, "--retain-seconds", retain_seconds_,
          "How long requests with an id are kept for clients that come back, after their end or "
          "their client's leaving; 0: not at all",
          0);
  Size(app, "--retain-bytes", server.sessions.retain_bytes,
       "Memory for requests that are kept so; the oldest go first");
  Seconds(app, "--slow-reader-seconds", slow_reader_seconds_,
          "Time that a client may take to read what was sent to it", 0.1);
}

void ServeFlags::AddObservability(CLI::App& app) {
  app.add_option("--log-format", log_format, "text or json, on stderr")
      ->check(CLI::IsMember({"text", "json"}))
      ->capture_default_str();
  app.add_option("--log-level", log_level, "debug, info, warning or error")
      ->check(CLI::IsMember({"debug", "info", "warning", "error"}))
      ->capture_default_str();
  app.add_option("--metrics-names", metrics_names_,
                 "Whose names the metrics page has: hocket, or hocket,vllm for those of vLLM too")
      ->delimiter(',')
      ->check(CLI::IsMember({"hocket", "vllm"}))
      ->allow_extra_args(false)
      ->capture_default_str()
      ->type_name("NAMES");
  Seconds(app, "--stall-seconds", stall_seconds_,
          "A model that has work and ends no step for so long is not healthy", 1);
  app.add_option("--ready-queue-fraction", server.health.ready_queue_fraction,
                 "A model whose line is this full, of --max-waiting-requests, is not ready")
      ->check(Number(0.01, 1))
      ->capture_default_str()
      ->type_name("X");
  Switch(app, "--log-prompts", server.log_prompts,
         "Put prompts and answers in the log, for debugging");
  app.add_option("--trace-plans", hosting.trace_plans,
                 "Write each plan and outcome to this file, for `hocket replay`; it holds prompts "
                 "and answers as token ids")
      ->type_name("FILE");
}

absl::Status ServeFlags::CheckModels() {
  for (const std::string& text : model_texts_) {
    absl::StatusOr<ModelChoice> choice = ParseModelChoice(text);
    if (!choice.ok()) return choice.status();
    models.push_back(*std::move(choice));
  }
  if (models.empty()) models.emplace_back();
  if (absl::Status names = CheckNames(models); !names.ok()) return names;
  if (!model_name_.empty()) {
    if (models.size() > 1 || !models.front().name.empty()) {
      return absl::InvalidArgumentError(
          "--model-name: --model says already what its models are called");
    }
    if (absl::Status name = CheckModelName(model_name_); !name.ok()) {
      return absl::InvalidArgumentError(absl::StrCat("--model-name: ", name.message()));
    }
    models.front().name = model_name_;
  }
  if (models.size() > 1 && !hosting.trace_plans.empty()) {
    return absl::InvalidArgumentError(
        "--trace-plans: is for one model; of several, give each its own file with --model "
        "NAME=DIR,trace-plans=FILE");
  }
  absl::StatusOr<RuntimeSettings> runtime = loading_.ResolveLoading();
  if (!runtime.ok()) return runtime.status();
  hosting.runtime = *std::move(runtime);
  return absl::OkStatus();
}

absl::Status ServeFlags::CheckAddresses() {
  absl::StatusOr<HostPort> listen = ParseAddress(listen_);
  if (!listen.ok()) return listen.status();
  server.host = listen->host;
  server.port = listen->port;
  server.metrics_port = -1;
  if (metrics_listen_ == "off") return absl::OkStatus();
  absl::StatusOr<HostPort> metrics = ParseAddress(metrics_listen_);
  if (!metrics.ok()) return metrics.status();
  server.metrics_host = metrics->host;
  server.metrics_port = metrics->port;
  return absl::OkStatus();
}

absl::Status ServeFlags::Check() {
  if (absl::Status status = CheckModels(); !status.ok()) return status;
  if (absl::Status status = CheckAddresses(); !status.ok()) return status;
  if (target_ms_ >= 0) hosting.target_inter_token = absl::Milliseconds(target_ms_);
  server.drain = absl::Seconds(drain_seconds_);
  server.sessions.retain = absl::Seconds(retain_seconds_);
  server.sessions.slow_reader = absl::Seconds(slow_reader_seconds_);
  server.slow_sender = absl::Seconds(slow_sender_seconds_);
  server.health.stall = absl::Seconds(stall_seconds_);
  absl::StatusOr<MetricsNames> names = ParseMetricsNames(metrics_names_);
  if (!names.ok()) return names.status();
  server.metrics_names = *names;
  security_.Fill();
  server.prompt_lookup = speculation_ == "prompt-lookup";
  if (absl::Status status = server.Validate(); !status.ok()) return status;
  return server.security.CheckFiles();
}

}  // namespace hocket
