// What `hocket serve` does once its models are loaded. Main thread.
#ifndef HOCKET_SERVICE_RUN_SERVER_H_
#define HOCKET_SERVICE_RUN_SERVER_H_

#include <string>
#include <vector>

#include "absl/status/status.h"
#include "runtime/model_runtime.h"
#include "scheduler/scheduler.h"
#include "service/server.h"
#include "service/stop_signals.h"

namespace hocket {

struct LoadedModel {
  std::string name;  // Empty: its folder's.
  std::unique_ptr<ModelRuntime> runtime;
  SchedulerSettings scheduler;
  std::string trace_plans_file;
};

// Serves until the first signal, then drains; a second signal ends the process at once. Prints
// `listening on HOST:PORT` and `metrics on HOST:PORT`, one line each, on standard output when
// ready. The errors of Server::Start.
absl::Status RunServer(const ServerSettings& settings, std::vector<LoadedModel> models,
                       StopSignals& signals);

}  // namespace hocket

#endif  // HOCKET_SERVICE_RUN_SERVER_H_
