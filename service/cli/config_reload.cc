#include "service/cli/config_reload.h"

#include <algorithm>
#include <array>

#include "CLI/CLI.hpp"
#include "absl/strings/str_join.h"
#include "absl/strings/string_view.h"
#include "service/cli/log_setup.h"
#include "service/cli/serve_flags.h"
#include "service/log_event.h"

namespace hocket {
namespace {

constexpr std::array<absl::string_view, 12> kLive = {
    "drain-seconds",
    "log-format",
    "log-level",
    "max-tenant-requests",
    "max-tenant-waiting-requests",
    "max-tenant-waiting-tokens",
    "max-waiting-requests",
    "max-waiting-tokens",
    "retain-bytes",
    "retain-seconds",
    "slow-reader-seconds",
    "slow-sender-seconds",
};

bool IsLive(absl::string_view name) {
  return std::find(kLive.begin(), kLive.end(), name) != kLive.end();
}

void LogError(const absl::Status& status) {
  LogEvent("reload")
      .Text("outcome", "error")
      .Text("error", status.message())
      .Write(LogEvent::Level::kError);
}

}  // namespace

absl::StatusOr<LiveSettings> ConfigReload::Reload() {
  ServeFlags flags;
  CLI::App app;
  PrepareFlags(app);
  flags.Add(app);
  const absl::StatusOr<ParsedFlags> parsed = ParseFlags(app, words_);
  absl::Status status = parsed.status();
  if (status.ok()) status = flags.Check();
  if (!status.ok()) {
    LogError(status);
    return status;
  }
  const std::vector<Setting> now = SettingsOf(app, *parsed);
  std::vector<std::string> changed = ChangedSettings(settings_, now);
  const auto first_fixed = std::stable_partition(
      changed.begin(), changed.end(), [](const std::string& name) { return IsLive(name); });
  const std::vector<std::string> fixed(first_fixed, changed.end());
  changed.erase(first_fixed, changed.end());
  for (size_t i = 0; i < settings_.size(); ++i) {
    if (IsLive(settings_[i].name)) settings_[i] = now[i];
  }
  ChangeLog(flags.log_level, flags.log_format == "json");
  LogEvent("reload").Text("outcome", "ok").Text("changed", absl::StrJoin(changed, ",")).Write();
  if (!fixed.empty()) {
    LogEvent("restart_needed")
        .Text("for", absl::StrJoin(fixed, ","))
        .Write(LogEvent::Level::kWarning);
  }
  return LiveSettings{.drain = flags.server.drain,
                      .admission = flags.hosting.admission,
                      .sessions = flags.server.sessions,
                      .slow_sender = flags.server.slow_sender};
}

}  // namespace hocket
