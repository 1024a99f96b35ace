// Reads the configuration again while the server runs: the same words and environment, and the
// config file as it is now. Main thread.
#ifndef HOCKET_SERVICE_CLI_CONFIG_RELOAD_H_
#define HOCKET_SERVICE_CLI_CONFIG_RELOAD_H_

#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "service/cli/settings_list.h"
#include "service/live_settings.h"

namespace hocket {

class ConfigReload {
 public:
  // `words` and `settings` are those that the server was started with.
  ConfigReload(std::vector<std::string> words, std::vector<Setting> settings)
      : words_(std::move(words)), settings_(std::move(settings)) {}

  // Changes the log's level and format, and returns what the server is to change. Logs what has
  // changed, and what did and needs a restart. An error, which is logged too, has changed nothing.
  absl::StatusOr<LiveSettings> Reload();

 private:
  const std::vector<std::string> words_;
  std::vector<Setting> settings_;  // In effect.
};

}  // namespace hocket

#endif  // HOCKET_SERVICE_CLI_CONFIG_RELOAD_H_
