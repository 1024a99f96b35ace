#include "service/metrics.h"

#include <algorithm>
#include <cmath>
#include <string>

#include "absl/strings/str_cat.h"
#include "scheduler/admission_gate.h"
#include "scheduler/step_text.h"

#ifndef HOCKET_VERSION
#define HOCKET_VERSION "unknown"
#endif

namespace hocket {
namespace {

using prometheus::Counter;
using prometheus::Family;
using prometheus::Gauge;
using prometheus::Histogram;
using Buckets = Histogram::BucketBoundaries;

// From under a millisecond (a tiny model's step) to ten minutes (a long story's end).
const Buckets& LatencyBuckets() {
  static const Buckets* const buckets =
      new Buckets{0.0005, 0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5,
                  1,      2,     5,     10,    30,   60,   120,  300, 600};
  return *buckets;
}

const Buckets& CountBuckets() {
  static const Buckets* const buckets =
      new Buckets{1, 2, 4, 8, 16, 32, 64, 128, 256, 512, 1024, 2048, 4096};
  return *buckets;
}

const Buckets& RatioBuckets() {
  static const Buckets* const buckets =
      new Buckets{0.01, 0.02, 0.05, 0.1, 0.15, 0.2, 0.3, 0.5, 0.75, 1, 2, 5};
  return *buckets;
}

Family<Counter>& Counters(prometheus::Registry* registry, const char* name, const char* help) {
  return prometheus::BuildCounter().Name(name).Help(help).Register(*registry);
}

Counter& OneCounter(prometheus::Registry* registry, const char* name, const char* help) {
  return Counters(registry, name, help).Add({});
}

Gauge& OneGauge(prometheus::Registry* registry, const char* name, const char* help) {
  return prometheus::BuildGauge().Name(name).Help(help).Register(*registry).Add({});
}

Histogram& OneHistogram(prometheus::Registry* registry, const char* name, const char* help,
                        const Buckets& buckets) {
  return prometheus::BuildHistogram().Name(name).Help(help).Register(*registry).Add({}, buckets);
}

Counter& Phase(prometheus::Registry* registry, const char* phase) {
  return Counters(registry, "hocket_step_phase_seconds_total", "Time spent in each part of a step.")
      .Add({{"phase", phase}});
}

// Raises a counter to a count that is kept elsewhere. One thread only.
void Reach(Counter& counter, int64_t count) {
  const double missing = static_cast<double>(count) - counter.Value();
  if (missing > 0) counter.Increment(missing);
}

}  // namespace

Metrics::Metrics(prometheus::Registry* registry, const ModelInfo& info)
    : requests_(Counters(registry, "hocket_requests_total",
                         "Calls ended, by method and by outcome: ok or the status code.")),
      finish_reasons_(Counters(registry, "hocket_finish_reasons_total",
                               "Requests that the engine ended, by finish reason.")),
      refusals_(Counters(registry, "hocket_refusals_total",
                         "Requests that the engine did not take, by the limit that they met.")),
      waits_(Counters(registry, "hocket_wait_seconds_total",
                      "Time that requests waited for their first plan, by what kept them.")),
      prompt_tokens_(OneCounter(registry, "hocket_prompt_tokens_total",
                                "Prompt tokens of the requests that were started.")),
      cached_tokens_(OneCounter(registry, "hocket_prompt_cached_tokens_total",
                                "Of those, found in the cache.")),
      generated_tokens_(OneCounter(registry, "hocket_generated_tokens_total", "Tokens generated.")),
      first_token_seconds_(OneHistogram(registry, "hocket_time_to_first_token_seconds",
                                        "From the call's arrival to its first token.",
                                        LatencyBuckets())),
      inter_token_seconds_(OneHistogram(registry, "hocket_inter_token_seconds",
                                        "Between two tokens of one choice.", LatencyBuckets())),
      request_seconds_(OneHistogram(registry, "hocket_request_seconds",
                                    "From the call's arrival to its end in the engine.",
                                    LatencyBuckets())),
      queue_seconds_(OneHistogram(registry, "hocket_request_queue_seconds",
                                  "From admission to the first computed token.", LatencyBuckets())),
      running_(OneGauge(registry, "hocket_requests_running", "Sequences in the running batch.")),
      waiting_(OneGauge(registry, "hocket_requests_waiting", "Requests waiting for their start.")),
      kv_used_(OneGauge(registry, "hocket_kv_blocks_used", "KV blocks that sequences use.")),
      kv_cached_(OneGauge(registry, "hocket_kv_blocks_cached",
                          "KV blocks kept for prompts to come; they count as free.")),
      kv_total_(OneGauge(registry, "hocket_kv_blocks_total", "KV blocks that exist.")),
      step_seconds_(OneHistogram(registry, "hocket_step_seconds",
                                 "A step: plan, execute and commit.", LatencyBuckets())),
      step_predicted_seconds_(OneHistogram(registry, "hocket_step_predicted_seconds",
                                           "What executing a step was predicted to take.",
                                           LatencyBuckets())),
      step_prediction_error_(
          OneHistogram(registry, "hocket_step_prediction_error_ratio",
                       "How far that was from what it took, as a fraction of it.", RatioBuckets())),
      step_rows_(OneHistogram(registry, "hocket_step_batch_rows",
                              "Sequences in a step: decode rows and prefill chunks.",
                              CountBuckets())),
      step_prefill_tokens_(OneHistogram(registry, "hocket_step_prefill_tokens",
                                        "Prompt tokens computed in a step that has any.",
                                        CountBuckets())),
      forward_seconds_(Phase(registry, "forward")),
      sample_seconds_(Phase(registry, "sample")),
      text_seconds_(Phase(registry, "text")),
      schedule_seconds_(Phase(registry, "schedule")),
      preemptions_(OneCounter(registry, "hocket_preemptions_total",
                              "Sequences that gave their blocks back to be recomputed.")),
      draft_tokens_(OneCounter(registry, "hocket_draft_tokens_total",
                               "Tokens guessed by speculation and checked.")),
      accepted_draft_tokens_(OneCounter(registry, "hocket_accepted_draft_tokens_total",
                                        "Of those, the ones that were drawn.")),
      prefix_queries_(OneCounter(registry, "hocket_prefix_cache_queries_total",
                                 "Requests whose prompt was looked up in the prefix cache.")),
      prefix_hits_(OneCounter(registry, "hocket_prefix_cache_hits_total",
                              "Of those, the ones that found at least one block.")),
      prefix_saved_tokens_(OneCounter(registry, "hocket_prefix_cache_saved_tokens_total",
                                      "Tokens found and not computed again.")),
      prefix_evictions_(OneCounter(registry, "hocket_prefix_cache_evictions_total",
                                   "Cached blocks given up for want of free ones.")) {
  for (const Refusal refusal : kRefusals) {
    refusals_.Add({{"reason", std::string(RefusalName(refusal))}});
  }
  prometheus::BuildGauge()
      .Name("hocket_build_info")
      .Help("Always 1; the labels say what runs.")
      .Register(*registry)
      .Add({{"version", HOCKET_VERSION},
            {"model", info.name},
            {"architecture", info.architecture},
            {"precision", std::string(PrecisionName(info.precision))},
            {"kv_precision", std::string(KvPrecisionName(info.kv_precision))},
            {"cpu", info.cpu}})
      .Set(1);
  Family<Gauge>& memory = prometheus::BuildGauge()
                              .Name("hocket_memory_planned_bytes")
                              .Help("Memory that each part takes once all of it is in use.")
                              .Register(*registry);
  const auto plan = [&memory](const char* part, int64_t bytes) {
    memory.Add({{"part", part}}).Set(static_cast<double>(bytes));
  };
  plan("weights", info.weight_bytes);
  plan("kv_cache", info.kv_cache_bytes);
  plan("step_arena", info.arena_bytes);
}

void Metrics::OnStep(const StepObservation& step) {
  step_seconds_.Observe(absl::ToDoubleSeconds(step.duration));
  const double executed = absl::ToDoubleSeconds(step.execute);
  if (step.predicted_seconds > 0 && executed > 0) {
    step_predicted_seconds_.Observe(step.predicted_seconds);
    step_prediction_error_.Observe(std::abs(step.predicted_seconds - executed) / executed);
  }
  step_rows_.Observe(step.decode_rows + step.prefill_rows);
  if (step.prefill_tokens > 0) step_prefill_tokens_.Observe(step.prefill_tokens);
  forward_seconds_.Increment(step.timings.forward_seconds);
  sample_seconds_.Increment(step.timings.sample_seconds);
  text_seconds_.Increment(step.timings.text_seconds);
  schedule_seconds_.Increment(absl::ToDoubleSeconds(step.duration - step.execute));
  Reach(preemptions_, step.stats.preemptions);
  Reach(draft_tokens_, step.stats.draft_tokens);
  Reach(accepted_draft_tokens_, step.stats.accepted_draft_tokens);
  Reach(prefix_queries_, step.stats.prefix_cache.queries);
  Reach(prefix_hits_, step.stats.prefix_cache.hits);
  Reach(prefix_saved_tokens_, step.stats.prefix_cache.saved_tokens);
  Reach(prefix_evictions_, step.stats.prefix_cache.evictions);
}

void Metrics::CountRequest(absl::string_view method, absl::string_view outcome) {
  requests_.Add({{"method", absl::StrCat(method)}, {"outcome", absl::StrCat(outcome)}}).Increment();
}

void Metrics::CountRefusal(std::string_view reason) {
  refusals_.Add({{"reason", std::string(reason)}}).Increment();
}

void Metrics::CountWaits(const WaitTimes& waits) {
  const auto count = [&](const char* reason, absl::Duration wait) {
    waits_.Add({{"reason", reason}}).Increment(std::max(absl::ToDoubleSeconds(wait), 0.0));
  };
  count("slots", waits.slots);
  count("blocks", waits.blocks);
  count("budget", waits.budget);
  count("fairness", waits.fairness);
}

void Metrics::CountPromptTokens(int64_t computed, int64_t cached) {
  prompt_tokens_.Increment(static_cast<double>(computed + cached));
  cached_tokens_.Increment(static_cast<double>(cached));
}

void Metrics::CountGeneratedTokens(int64_t tokens) {
  generated_tokens_.Increment(static_cast<double>(tokens));
}

void Metrics::ObserveFirstToken(absl::Duration since_received) {
  first_token_seconds_.Observe(absl::ToDoubleSeconds(since_received));
}

void Metrics::ObserveNextToken(absl::Duration since_last) {
  inter_token_seconds_.Observe(absl::ToDoubleSeconds(since_last));
}

void Metrics::ObserveFinished(const FinishedEvent& event, absl::Duration since_received) {
  finish_reasons_.Add({{"reason", std::string(FinishReasonName(event.finish.reason))}}).Increment();
  request_seconds_.Observe(absl::ToDoubleSeconds(since_received));
  queue_seconds_.Observe(absl::ToDoubleSeconds(event.timings.queued));
}

void Metrics::SetStats(const SchedulerStats& stats) {
  running_.Set(stats.running_sequences);
  waiting_.Set(stats.waiting_requests);
  kv_used_.Set(stats.used_blocks);
  kv_cached_.Set(stats.cached_blocks);
  kv_total_.Set(stats.total_blocks);
}

}  // namespace hocket
