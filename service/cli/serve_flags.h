// The flags of `hocket serve`, in groups, and what they set. Each can also come from the
// environment and from a config file. Made anew for each time that the configuration is read; main
// thread.
#ifndef HOCKET_SERVICE_CLI_SERVE_FLAGS_H_
#define HOCKET_SERVICE_CLI_SERVE_FLAGS_H_

#include <string>
#include <vector>

#include "absl/status/status.h"
#include "service/cli/load_models.h"
#include "service/cli/model_choice.h"
#include "service/cli/model_flags.h"
#include "service/cli/security_flags.h"
#include "service/server_settings.h"

namespace hocket {

class ServeFlags {
 public:
  ServeFlags() = default;
  ServeFlags(const ServeFlags&) = delete;  // The flags point into it.
  ServeFlags& operator=(const ServeFlags&) = delete;

  void Add(CLI::App& app);

  // Fills what is below from what was parsed. INVALID_ARGUMENT naming the flag for values that make
  // no sense together.
  absl::Status Check();

  std::vector<ModelChoice> models;  // At least one.
  HostingSettings hosting;
  ServerSettings server;
  std::string log_format = "text";
  std::string log_level = "info";
  bool print_config = false;
  bool check_config = false;

 private:
  void AddModel(CLI::App& app);
  void AddNetwork(CLI::App& app);
  void AddLimits(CLI::App& app);
  void AddSessions(CLI::App& app);
  void AddObservability(CLI::App& app);
  absl::Status CheckModels();
  absl::Status CheckAddresses();

  std::vector<std::string> model_texts_;
  std::string model_name_;
  ModelFlags loading_;
  double target_ms_ = -1;  // Measured.
  std::string speculation_ = "off";
  std::string listen_ = "127.0.0.1:50051";
  std::string metrics_listen_ = "127.0.0.1:9464";
  SecurityFlags security_{&server.security};
  std::vector<std::string> metrics_names_ = {"hocket"};
  double stall_seconds_ = absl::ToDoubleSeconds(HealthSettings().stall);
  double retain_seconds_ = absl::ToDoubleSeconds(SessionSettings().retain);
  double slow_reader_seconds_ = absl::ToDoubleSeconds(SessionSettings().slow_reader);
  double slow_sender_seconds_ = absl::ToDoubleSeconds(ServerSettings().slow_sender);
  double drain_seconds_ = absl::ToDoubleSeconds(ServerSettings().drain);
};

}  // namespace hocket

#endif  // HOCKET_SERVICE_CLI_SERVE_FLAGS_H_
