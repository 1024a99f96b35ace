#include "service/load_report.h"

#include <google/protobuf/unknown_field_set.h>
#include <sched.h>

#include <algorithm>
#include <bit>
#include <utility>

#include "runtime/machine.h"
#include "service/process_metrics.h"
#include "service/steady_clock.h"

namespace hocket {
namespace {

// Fields of xds.data.orca.v3.OrcaLoadReport, whose proto would bring a family of others along.
constexpr int kCpuUtilization = 1;
constexpr int kMemUtilization = 2;
constexpr int kRequestCost = 4;  // This and the next are maps of names to doubles.
constexpr int kUtilization = 5;

void AddDouble(int field, double value, google::protobuf::UnknownFieldSet& message) {
  message.AddFixed64(field, std::bit_cast<uint64_t>(value));
}

void AddEntry(int field, const char* name, double value,
              google::protobuf::UnknownFieldSet& message) {
  google::protobuf::UnknownFieldSet entry;
  entry.AddLengthDelimited(1, name);
  AddDouble(2, value, entry);
  entry.SerializeToString(message.AddLengthDelimited(field));
}

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
  context->AddTrailingMetadata("endpoint-load-metrics-bin", Serialized(usage));
}

std::string LoadReport::Serialized(const std::optional<Usage>& usage) const {
  const SchedulerStats stats = engine_->Stats();
  google::protobuf::UnknownFieldSet report;
  AddDouble(kCpuUtilization, sampler_->cpu_utilization(), report);
  AddDouble(kMemUtilization, sampler_->memory_utilization(), report);
  AddEntry(kUtilization, "kv_cache", Share(stats.used_blocks, stats.total_blocks), report);
  AddEntry(kUtilization, "queue", Share(stats.waiting_requests, metrics_->max_waiting_requests()),
           report);
  if (usage) {
    AddEntry(kRequestCost, "prompt_tokens", static_cast<double>(usage->prompt_tokens), report);
    AddEntry(kRequestCost, "cached_tokens", static_cast<double>(usage->cached_tokens), report);
    AddEntry(kRequestCost, "generated_tokens", static_cast<double>(usage->generated_tokens),
             report);
  }
  std::string bytes;
  report.SerializeToString(&bytes);
  return bytes;
}

}  // namespace hocket
