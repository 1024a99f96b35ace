// What `hocket serve` does once its models are loaded. Main thread.
#ifndef HOCKET_SERVICE_RUN_SERVER_H_
#define HOCKET_SERVICE_RUN_SERVER_H_

#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "runtime/model_runtime.h"
#include "scheduler/scheduler.h"
#include "service/live_settings.h"
#include "service/server_settings.h"
#include "service/stop_signals.h"

namespace hocket {

struct LoadedModel {
  std::string name;  // Empty: its folder's.
  std::unique_ptr<ModelRuntime> runtime;
  SchedulerSettings scheduler;
  std::string trace_plans_file;
};

// Serves until the first signal to stop, then drains; a second one ends the process at once. At
// each SIGHUP `reload` reads the configuration again, or says why it changes nothing. Prints
// `listening on HOST:PORT` and `metrics on HOST:PORT`, one line each, on standard output when
// ready. The errors of Server::Start.
absl::Status RunServer(const ServerSettings& settings, std::vector<LoadedModel> models,
                       StopSignals& signals,
                       const std::function<absl::StatusOr<LiveSettings>()>& reload);

}  // namespace hocket

#endif  // HOCKET_SERVICE_RUN_SERVER_H_
