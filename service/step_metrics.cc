#include "service/step_metrics.h"

#include <algorithm>
#include <cmath>

namespace hocket {
namespace {

prometheus::Counter& Phase(const MetricSeries& series, const char* phase) {
  return series.Counter("hocket_step_phase_seconds_total", "Time spent in each part of a step.",
                        {{"phase", phase}});
}

prometheus::Counter& Rows(const MetricSeries& series, const char* kind) {
  return series.Counter("hocket_step_rows_total",
                        "Rows of all steps: of sequences that decode, and chunks of prompts.",
                        {{"kind", kind}});
}

}  // namespace

StepMetrics::StepMetrics(const MetricSeries& series)
    : seconds_(series.Histogram("hocket_step_seconds", "A step: plan, execute and commit.",
                                StepBuckets())),
      predicted_seconds_(series.Histogram("hocket_step_predicted_seconds",
                                          "What executing a step was predicted to take.",
                                          StepBuckets())),
      prediction_error_(series.Histogram(
          "hocket_step_prediction_error_ratio",
          "How far a step's predicted time was from what it took, as a fraction of that.",
          RatioBuckets())),
      rows_(series.Histogram("hocket_step_batch_rows",
                             "Sequences in a step: decode rows and prefill chunks.", RowBuckets())),
      tokens_(series.Histogram("hocket_step_tokens",
                               "Tokens computed in a step, guessed ones left out.",
                               TokenBuckets())),
      prefill_tokens_(series.Histogram("hocket_step_prefill_tokens",
                                       "Prompt tokens computed in a step that has any.",
                                       TokenBuckets())),
      decode_rows_(Rows(series, "decode")),
      prefill_rows_(Rows(series, "prefill")),
      forward_seconds_(Phase(series, "forward")),
      sample_seconds_(Phase(series, "sample")),
      text_seconds_(Phase(series, "text")),
      schedule_seconds_(Phase(series, "schedule")),
      preemptions_(series.Counter("hocket_preemptions_total",
                                  "Requests that gave their blocks back to be recomputed.")),
      recomputed_tokens_(series.Counter("hocket_recomputed_tokens_total",
                                        "Tokens computed again after a preemption.")),
      draft_tokens_(series.Counter("hocket_draft_tokens_total",
                                   "Tokens guessed by speculation and checked.")),
      accepted_draft_tokens_(series.Counter("hocket_accepted_draft_tokens_total",
                                            "Tokens guessed by speculation that were drawn.")),
      prefix_queries_(series.Counter("hocket_prefix_cache_queries_total",
                                     "Requests whose prompt was looked up in the prefix cache.")),
      prefix_hits_(
          series.Counter("hocket_prefix_cache_hits_total",
                         "Requests that found at least one block of their prompt in the cache.")),
      prefix_saved_tokens_(series.Counter("hocket_prefix_cache_saved_tokens_total",
                                          "Tokens found in the cache and not computed, by requests "
                                          "that come back after a preemption too.")),
      prefix_evictions_(series.Counter("hocket_prefix_cache_evictions_total",
                                       "Cached blocks given up for want of free ones.")),
      sequences_running_(
          series.Gauge("hocket_sequences_running", "Sequences in the running batch.")),
      requests_preempted_(
          series.Gauge("hocket_requests_preempted",
                       "Of the running requests, those that wait to be computed again.")),
      kv_used_(series.Gauge("hocket_kv_blocks_used", "KV blocks that sequences use.")),
      kv_cached_(series.Gauge("hocket_kv_blocks_cached",
                              "KV blocks kept for prompts to come; they count as free.")),
      kv_total_(series.Gauge("hocket_max_kv_blocks", "KV blocks that exist.")) {}

void StepMetrics::OnStep(const StepObservation& step) {
  CountSteps(step);
  CountParts(step);
  recent_[next_recent_] = step.duration;
  next_recent_ = (next_recent_ + 1) % kRecentSteps;
  longest_recent_ns_ = absl::ToInt64Nanoseconds(*std::max_element(recent_.begin(), recent_.end()));
}

void StepMetrics::CountSteps(const StepObservation& step) {
  seconds_.Observe(absl::ToDoubleSeconds(step.duration));
  const double executed = absl::ToDoubleSeconds(step.execute);
  if (step.predicted_seconds > 0 && executed > 0) {
    predicted_seconds_.Observe(step.predicted_seconds);
    prediction_error_.Observe(std::abs(step.predicted_seconds - executed) / executed);
  }
  const int32_t rows = step.decode_rows + step.prefill_rows;
  if (rows == 0) return;
  rows_.Observe(rows);
  tokens_.Observe(step.decode_rows + step.prefill_tokens);
  if (step.prefill_tokens > 0) prefill_tokens_.Observe(step.prefill_tokens);
  decode_rows_.Increment(step.decode_rows);
  prefill_rows_.Increment(step.prefill_rows);
}

void StepMetrics::CountParts(const StepObservation& step) {
  forward_seconds_.Increment(step.timings.forward_seconds);
  sample_seconds_.Increment(step.timings.sample_seconds);
  text_seconds_.Increment(step.timings.text_seconds);
  schedule_seconds_.Increment(absl::ToDoubleSeconds(step.duration - step.execute));
  RaiseTo(preemptions_, step.stats.preemptions);
  RaiseTo(recomputed_tokens_, step.stats.recomputed_tokens);
  RaiseTo(draft_tokens_, step.stats.draft_tokens);
  RaiseTo(accepted_draft_tokens_, step.stats.accepted_draft_tokens);
  RaiseTo(prefix_queries_, step.stats.prefix_cache.queries);
  RaiseTo(prefix_hits_, step.stats.prefix_cache.hits);
  RaiseTo(prefix_saved_tokens_, step.stats.prefix_cache.saved_tokens);
  RaiseTo(prefix_evictions_, step.stats.prefix_cache.evictions);
}

void StepMetrics::SetStats(const SchedulerStats& stats) {
  sequences_running_.Set(stats.running_sequences);
  requests_preempted_.Set(stats.preempted_requests);
  kv_used_.Set(stats.used_blocks);
  kv_cached_.Set(stats.cached_blocks);
  kv_total_.Set(stats.total_blocks);
}

}  // namespace hocket
