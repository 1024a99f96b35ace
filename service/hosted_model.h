// One of the models that a server hosts: the engine that runs it, what checks its requests, its
// metrics and its trace. Owned by the server and made on its thread; what it gives out may be used
// on any.
#ifndef HOCKET_SERVICE_HOSTED_MODEL_H_
#define HOCKET_SERVICE_HOSTED_MODEL_H_

#include <prometheus/registry.h>

#include <memory>
#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "scheduler/engine.h"
#include "service/call_parts.h"
#include "service/health_watch.h"
#include "service/load_report.h"
#include "service/metrics.h"
#include "service/model_to_host.h"
#include "service/server_settings.h"
#include "service/validate.h"

namespace hocket {

class HostedModel {
 public:
  // Starts the engine. `to_host` must have its name. INVALID_ARGUMENT for a bad setting, or naming
  // a trace's file that cannot be written. `registry` and `sampler` must outlive it.
  static absl::StatusOr<std::unique_ptr<HostedModel>> Host(const ModelToHost& to_host,
                                                           const ServerSettings& settings,
                                                           prometheus::Registry* registry,
                                                           const LoadSampler* sampler);
  ~HostedModel();
  HostedModel(const HostedModel&) = delete;
  HostedModel& operator=(const HostedModel&) = delete;

  const std::string& name() const { return validator_.model_name(); }
  Engine& engine() { return engine_; }
  Metrics& metrics() { return metrics_; }

  // With what all models share still unset.
  CallParts Parts();

  // For the health watch.
  WatchedModel Watched();

  void SetAdmission(const AdmissionLimits& limits);

  // Sets the gauges.
  void UpdateMetrics();

 private:
  struct Trace;

  HostedModel(const ModelToHost& to_host, const ServerSettings& settings,
              prometheus::Registry* registry, const LoadSampler* sampler,
              std::unique_ptr<Trace> trace);

  const ModelText* const text_;
  Metrics metrics_;
  const Validator validator_;
  const std::unique_ptr<Trace> trace_;  // May be null.
  const LoadReport load_;
  Engine engine_;  // Last: it uses the metrics and the trace.
};

}  // namespace hocket

#endif  // HOCKET_SERVICE_HOSTED_MODEL_H_
