// What steps of one model's engine take and compute. Steps are observed on the engine thread;
// gauges are set on any one thread at a time.
#ifndef HOCKET_SERVICE_STEP_METRICS_H_
#define HOCKET_SERVICE_STEP_METRICS_H_

#include <array>
#include <atomic>
#include <cstdint>

#include "absl/time/time.h"
#include "scheduler/engine.h"
#include "service/metric_series.h"

namespace hocket {

class StepMetrics {
 public:
  explicit StepMetrics(const MetricSeries& series);

  void OnStep(const StepObservation& step);
  void SetStats(const SchedulerStats& stats);

  // The longest of the last kRecentSteps. Any thread.
  absl::Duration LongestRecentStep() const { return absl::Nanoseconds(longest_recent_ns_.load()); }

 private:
  static constexpr size_t kRecentSteps = 64;

  void CountSteps(const StepObservation& step);
  void CountParts(const StepObservation& step);

  prometheus::Histogram& seconds_;
  prometheus::Histogram& predicted_seconds_;
  prometheus::Histogram& prediction_error_;
  prometheus::Histogram& rows_;
  prometheus::Histogram& tokens_;
  prometheus::Histogram& prefill_tokens_;
  prometheus::Counter& decode_rows_;
  prometheus::Counter& prefill_rows_;
  prometheus::Counter& forward_seconds_;
  prometheus::Counter& sample_seconds_;
  prometheus::Counter& text_seconds_;
  prometheus::Counter& schedule_seconds_;
  prometheus::Counter& preemptions_;
  prometheus::Counter& recomputed_tokens_;
  prometheus::Counter& draft_tokens_;
  prometheus::Counter& accepted_draft_tokens_;
  prometheus::Counter& prefix_queries_;
  prometheus::Counter& prefix_hits_;
  prometheus::Counter& prefix_saved_tokens_;
  prometheus::Counter& prefix_evictions_;
  prometheus::Gauge& sequences_running_;
  prometheus::Gauge& requests_preempted_;
  prometheus::Gauge& kv_used_;
  prometheus::Gauge& kv_cached_;
  prometheus::Gauge& kv_total_;

  // Engine thread only.
  std::array<absl::Duration, kRecentSteps> recent_{};
  size_t next_recent_ = 0;
  std::atomic<int64_t> longest_recent_ns_ = 0;
};

}  // namespace hocket

#endif  // HOCKET_SERVICE_STEP_METRICS_H_
