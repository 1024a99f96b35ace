// Tells each call's client how loaded the server is, as ORCA's per-call report (xds.data.orca.v3)
// in the trailer endpoint-load-metrics-bin, so that clients can send the next call elsewhere.
#ifndef HOCKET_SERVICE_LOAD_REPORT_H_
#define HOCKET_SERVICE_LOAD_REPORT_H_

#include <grpcpp/server_context.h>

#include <atomic>
#include <cstdint>
#include <functional>
#include <optional>
#include <string>

#include "absl/time/time.h"
#include "scheduler/engine.h"
#include "scheduler/request.h"
#include "service/metrics.h"

namespace hocket {

// This process' use of the processors and the memory that it may have. Sample is called now and
// then by one thread; all else by any.
class LoadSampler {
 public:
  // Where a sample is taken from; by default this process and machine.
  struct Sources {
    std::function<absl::Time()> now;
    std::function<absl::Duration()> cpu_time;
    double processors = 1;  // By affinity and the cgroup's quota.
    std::function<int64_t()> resident_bytes;
    std::function<int64_t()> available_bytes;  // That could still be had.
  };
  static Sources OfThisProcess();

  explicit LoadSampler(Sources sources = OfThisProcess());

  // Does nothing within kPeriod of the sample before.
  void Sample();

  // Of the processors allowed, over the last period; 0 before its end.
  double cpu_utilization() const { return cpu_utilization_; }
  // Resident memory, of that and what could still be had: in [0, 1].
  double memory_utilization() const { return memory_utilization_; }

 private:
  static constexpr absl::Duration kPeriod = absl::Milliseconds(900);

  void SampleMemory();

  const Sources sources_;
  absl::Time sampled_;
  absl::Duration cpu_time_;
  std::atomic<double> cpu_utilization_ = 0;
  std::atomic<double> memory_utilization_ = 0;
};

// Of one model. Any thread.
class LoadReport {
 public:
  // All must outlive it. `metrics` know the limit of the engine's line.
  LoadReport(const LoadSampler* sampler, const Engine* engine, const Metrics* metrics)
      : sampler_(sampler), engine_(engine), metrics_(metrics) {}

  // Before the call's Finish. `usage`: what the request cost, where it has run.
  void Record(grpc::CallbackServerContext* context, const std::optional<Usage>& usage) const;

 private:
  std::string Serialized(const std::optional<Usage>& usage) const;

  const LoadSampler* const sampler_;
  const Engine* const engine_;
  const Metrics* const metrics_;
};

}  // namespace hocket

#endif  // HOCKET_SERVICE_LOAD_REPORT_H_
