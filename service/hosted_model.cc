#include "service/hosted_model.h"

#include <fstream>
#include <utility>

#include "absl/memory/memory.h"
#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "scheduler/plan_trace.h"

namespace hocket {
namespace {

// Metrics and requests know the model by the name that it is served under.
ModelInfo NamedInfo(const ModelToHost& to_host) {
  ModelInfo info = to_host.model.info;
  info.name = to_host.name;
  return info;
}

}  // namespace

struct HostedModel::Trace {
  Trace(const std::string& path, const SchedulerSettings& scheduler)
      : file(path), writer(scheduler, &file) {}
  std::ofstream file;
  PlanTraceWriter writer;
};

absl::StatusOr<std::unique_ptr<HostedModel>> HostedModel::Host(const ModelToHost& to_host,
                                                               const ServerSettings& settings,
                                                               prometheus::Registry* registry,
                                                               const LoadSampler* sampler) {
  if (absl::Status status = to_host.scheduler.Validate(); !status.ok()) return status;
  std::unique_ptr<Trace> trace;
  if (!to_host.trace_plans_file.empty()) {
    trace = std::make_unique<Trace>(to_host.trace_plans_file, to_host.scheduler);
    if (!trace->file.is_open()) {
      return absl::InvalidArgumentError(
          absl::StrCat("trace_plans_file: ", to_host.trace_plans_file, " cannot be written"));
    }
  }
  return absl::WrapUnique(new HostedModel(to_host, settings, registry, sampler, std::move(trace)));
}

HostedModel::HostedModel(const ModelToHost& to_host, const ServerSettings& settings,
                         prometheus::Registry* registry, const LoadSampler* sampler,
                         std::unique_ptr<Trace> trace)
    : text_(to_host.model.text),
      metrics_(registry, NamedInfo(to_host), to_host.scheduler),
      validator_(to_host.name, to_host.model.info, to_host.model.text, settings.max_prompt_bytes,
                 settings.prompt_lookup),
      trace_(std::move(trace)),
      load_(sampler, &engine_, &metrics_),
      engine_(to_host.scheduler, to_host.model.executor, &metrics_, absl::Now,
              trace_ == nullptr ? nullptr : &trace_->writer) {}

HostedModel::~HostedModel() = default;

CallParts HostedModel::Parts() {
  CallParts parts;
  parts.engine = &engine_;
  parts.validator = &validator_;
  parts.text = text_;
  parts.metrics = &metrics_;
  parts.load = &load_;
  return parts;
}

WatchedModel HostedModel::Watched() {
  WatchedModel watched;
  watched.name = name();
  watched.signs = [this] {
    const SchedulerStats stats = engine_.Stats();
    return EngineSigns{.working = stats.running_sequences > 0 || stats.waiting_requests > 0,
                       .last_progress = engine_.LastProgress(),
                       .longest_recent_step = metrics_.LongestRecentStep(),
                       .waiting_requests = stats.waiting_requests,
                       .max_waiting_requests = metrics_.max_waiting_requests()};
  };
  watched.told = [this](bool live, bool ready) { metrics_.SetHealth(live, ready); };
  return watched;
}

void HostedModel::SetAdmission(const AdmissionLimits& limits) {
  engine_.SetAdmission(limits);
  metrics_.SetAdmission(limits);
}

void HostedModel::UpdateMetrics() {
  metrics_.SetStats(engine_.Stats(), absl::Now() - engine_.LastProgress());
}

}  // namespace hocket
