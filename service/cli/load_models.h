// Loads the models that `hocket serve` hosts, one after another, and says what each one takes. Main
// thread.
#ifndef HOCKET_SERVICE_CLI_LOAD_MODELS_H_
#define HOCKET_SERVICE_CLI_LOAD_MODELS_H_

#include <optional>
#include <span>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "runtime/model_runtime.h"
#include "scheduler/admission_gate.h"
#include "service/cli/model_choice.h"
#include "service/run_server.h"

namespace hocket {

// What holds for every model that has nothing else of its own.
struct HostingSettings {
  RuntimeSettings runtime;  // Threads and KV memory are of all models together; no folder.
  AdmissionLimits admission;
  bool prefix_cache = true;
  std::optional<absl::Duration> target_inter_token;  // Unset: chosen by measuring the model.
  std::string trace_plans;                           // Of a single model.
};

// Each model's settings, in order, with threads and KV memory shared out. NOT_FOUND naming the flag
// for a folder that holds no model; INVALID_ARGUMENT.
absl::StatusOr<std::vector<RuntimeSettings>> SettingsOfModels(std::span<const ModelChoice> choices,
                                                              const HostingSettings& settings);

// The errors of SettingsOfModels, and of ModelRuntime::Load with the model's name in front.
absl::StatusOr<std::vector<LoadedModel>> LoadModels(std::span<const ModelChoice> choices,
                                                    const HostingSettings& settings);

}  // namespace hocket

#endif  // HOCKET_SERVICE_CLI_LOAD_MODELS_H_
