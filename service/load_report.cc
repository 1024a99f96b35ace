#include "service/load_report.h"

#include <grpcpp/ext/call_metric_recorder.h>
#include <sched.h>

#include <algorithm>
#include <utility>

#include "runtime/machine.h"
#include "service/process_metrics.h"
#include "service/steady_clock.h"

namespace hocket {
namespace {

double AllowedProcessors() {
  cpu_set_t mask;
  CPU_ZERO(&mask);
  double processors = sched_getaffinity(0, sizeof(mask), &mask) == 0 ? CPU_COUNT(&mask) : 1;
  if (const std::optional<double> quota = CgroupProcessors()) {
    processors = std::min(processors, *quota);
  }
  return processors;
}

double Share(double part, double whole) {
  return whole > 0 ? std::clamp(part / whole, 0.0, 1.0) : 0;
}

}  // namespace

LoadSampler::Sources LoadSampler::OfThisProcess() {
  return {.now = SteadyNow,
          .cpu_time = ProcessCpuTime,
          .processors = AllowedProcessors(),
          .resident_bytes = ProcessResidentBytes,
          .available_bytes = [] { return AvailableMemoryBytes(); }};
}

LoadSampler::LoadSampler(Sources sources)
    : sources_(std::move(sources)), sampled_(sources_.now()), cpu_time_(sources_.cpu_time()) {
  SampleMemory();
}

void LoadSampler::Sample() {
  const absl::Time now = sources_.now();
  const absl::Duration elapsed = now - sampled_;
  if (elapsed < kPeriod) return;
  const absl::Duration cpu_time = sources_.cpu_time();
  const absl::Duration used = cpu_time - std::exchange(cpu_time_, cpu_time);
  sampled_ = now;
  // ORCA allows more than 1, which a quota's bursts may reach.
  cpu_utilization_ = std::max(absl::FDivDuration(used, elapsed) / sources_.processors, 0.0);
  SampleMemory();
}

void LoadSampler::SampleMemory() {
  const auto resident = static_cast<double>(sources_.resident_bytes());
  memory_utilization_ = Share(resident, resident + static_cast<double>(sources_.available_bytes()));
}

void LoadReport::Record(grpc::CallbackServerContext* context,
                        const std::optional<Usage>& usage) const {
  grpc::experimental::CallMetricRecorder* recorder = context->ExperimentalGetCallMetricRecorder();
  if (recorder == nullptr) return;
  const SchedulerStats stats = engine_->Stats();
  recorder->RecordCpuUtilizationMetric(sampler_->cpu_utilization());
  recorder->RecordMemoryUtilizationMetric(sampler_->memory_utilization());
  recorder->RecordUtilizationMetric("kv_cache", Share(stats.used_blocks, stats.total_blocks));
  recorder->RecordUtilizationMetric(
      "queue", Share(stats.waiting_requests, metrics_->max_waiting_requests()));
  if (!usage) return;
  recorder->RecordRequestCostMetric("prompt_tokens", static_cast<double>(usage->prompt_tokens));
  recorder->RecordRequestCostMetric("cached_tokens", static_cast<double>(usage->cached_tokens));
  recorder->RecordRequestCostMetric("generated_tokens",
                                    static_cast<double>(usage->generated_tokens));
}

}  // namespace hocket
