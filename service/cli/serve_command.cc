// `hocket serve`: the gRPC service on one or several models.
#include <unistd.h>

#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "CLI/CLI.hpp"
#include "service/cli/command.h"
#include "service/cli/command_line.h"
#include "service/cli/config_reload.h"
#include "service/cli/load_models.h"
#include "service/cli/log_setup.h"
#include "service/cli/output.h"
#include "service/cli/serve_flags.h"
#include "service/cli/settings_list.h"
#include "service/cli/stderr_sink.h"
#include "service/log_event.h"
#include "service/run_server.h"
#include "service/stop_signals.h"

namespace hocket {
namespace {

// What begins like a setting's variable, and is of the build and the tests.
const char* const kOtherVariables[] = {"HOCKET_BUILD_DIR", "HOCKET_CACHE_DIR", "HOCKET_ONEDNN_ROOT",
                                       "HOCKET_RPC_PROTOS"};

std::vector<std::string> Environment() {
  std::vector<std::string> entries;
  for (char** entry = environ; entry != nullptr && *entry != nullptr; ++entry) {
    entries.emplace_back(*entry);
  }
  return entries;
}

class ServeCommand final : public Command {
 public:
  absl::string_view name() const override { return "serve"; }
  absl::string_view summary() const override { return "Serve models over gRPC until SIGTERM"; }

  void AddFlags(CLI::App& app) override { flags_.Add(app); }

  void NoteFlags(const CLI::App& app, const ParsedFlags& parsed,
                 std::span<const std::string> words) override {
    words_.assign(words.begin(), words.end());
    settings_ = SettingsOf(app, parsed);
    unknown_variables_ = UnknownVariables(
        app, Environment(),
        std::vector<std::string>(std::begin(kOtherVariables), std::end(kOtherVariables)));
  }

  absl::Status Check() override {
    if (absl::Status status = flags_.Check(); !status.ok()) return status;
    if (!flags_.check_config) return absl::OkStatus();
    return SettingsOfModels(flags_.models, flags_.hosting).status();
  }

  absl::StatusOr<int> Run() override {
    if (flags_.print_config) return Print(ConfigFileText(settings_));
    if (flags_.check_config) return Print("the settings are good\n");
    SetUpLog(std::make_shared<StderrSink>(STDERR_FILENO), flags_.log_level,
             flags_.log_format == "json");
    StopSignals signals;
    LogStart();
    absl::StatusOr<std::vector<LoadedModel>> models = LoadModels(flags_.models, flags_.hosting);
    if (!models.ok()) return models.status();
    ConfigReload config(words_, settings_);
    const absl::Status status = RunServer(flags_.server, *std::move(models), signals,
                                          [&config] { return config.Reload(); });
    if (!status.ok()) return status;
    return 0;
  }

 private:
  static absl::StatusOr<int> Print(const std::string& text) {
    absl::Status written = WriteOutput(text);
    if (!written.ok()) return written;
    return 0;
  }

  void LogStart() const {
    LogEvent("start").Text("version", HOCKET_VERSION).Count("pid", getpid()).Write();
    for (const std::string& line : unknown_variables_) {
      LogEvent("unknown_variable").Text("problem", line).Write(LogEvent::Level::kWarning);
    }
    if (flags_.server.log_prompts) {
      LogEvent("prompts_logged")
          .Text("because", "--log-prompts is given: the log holds what clients send and get")
          .Write(LogEvent::Level::kWarning);
    }
  }

  ServeFlags flags_;
  std::vector<std::string> words_;
  std::vector<Setting> settings_;
  std::vector<std::string> unknown_variables_;
};

}  // namespace

std::unique_ptr<Command> NewServeCommand() { return std::make_unique<ServeCommand>(); }

}  // namespace hocket
