#include "service/metrics.h"

#include <string>

#include "scheduler/admission_gate.h"
#include "scheduler/step_text.h"

#ifndef HOCKET_VERSION
#define HOCKET_VERSION "unknown"
#endif

namespace hocket {
namespace {

// Those that are about one model. The rest, and calls that name no model served, are counted in
// ServerMetrics.
constexpr absl::string_view kModelMethods[] = {"Generate", "StreamGenerate", "Score",   "Embed",
                                               "Tokenize", "Detokenize",     "GetModel"};

constexpr FinishReason kLastFinishReason = FinishReason::kRepetition;

constexpr const char* kPriorityNames[kPriorityClasses] = {"interactive", "standard", "batch"};

constexpr const char* kFeatureNames[kSamplingFeatures] = {
    "prompt_only", "greedy",    "random",      "beam_search", "choices",
    "constrained", "penalties", "token_rules", "logprobs",    "speculation"};

prometheus::Counter& Refusals(const MetricSeries& series, std::string_view limit) {
  return series.Counter("hocket_refusals_total",
                        "Requests that the engine did not take, by the limit that they met.",
                        {{"reason", std::string(limit)}});
}

prometheus::Counter& Wait(const MetricSeries& series, const char* reason) {
  return series.Counter("hocket_wait_seconds_total",
                        "Time that requests waited for their first plan, by what kept them.",
                        {{"reason", reason}});
}

prometheus::Counter& Attach(const MetricSeries& series, const char* state) {
  return series.Counter("hocket_attaches_total",
                        "Calls that were attached to a request of the same id, by its state.",
                        {{"state", state}});
}

}  // namespace

Metrics::Waits Metrics::MakeWaits(const MetricSeries& series) {
  return {.slots = Wait(series, "slots"),
          .blocks = Wait(series, "blocks"),
          .budget = Wait(series, "budget"),
          .fairness = Wait(series, "fairness")};
}

Metrics::Tokens Metrics::MakeTokens(const MetricSeries& series) {
  return {.prompt = series.Counter("hocket_prompt_tokens_total",
                                   "Prompt tokens of the requests that were started."),
          .cached =
              series.Counter("hocket_prompt_cached_tokens_total",
                             "Prompt tokens that were found in the prefix cache and not computed."),
          .generated = series.Counter("hocket_generated_tokens_total", "Tokens generated."),
          .of_prompt = series.Histogram("hocket_request_prompt_tokens",
                                        "Prompt tokens of a request that was started and ended.",
                                        TokenBuckets()),
          .of_answer = series.Histogram(
              "hocket_request_generated_tokens",
              "Tokens generated for a request that was started and ended, all choices together.",
              TokenBuckets())};
}

Metrics::Latencies Metrics::MakeLatencies(const MetricSeries& series) {
  return {.first_token =
              series.Histogram("hocket_time_to_first_token_seconds",
                               "From the call's arrival to its first token.", FirstTokenBuckets()),
          .inter_token = series.Histogram("hocket_inter_token_seconds",
                                          "Between two tokens of one choice.", InterTokenBuckets()),
          .request = series.Histogram("hocket_request_seconds",
                                      "From the call's arrival to its end in the engine.",
                                      WholeRequestBuckets()),
          .queue = series.Histogram("hocket_request_queue_seconds",
                                    "From admission to the first plan, or to the end without one.",
                                    QueueBuckets()),
          .prefill =
              series.Histogram("hocket_request_prefill_seconds",
                               "From the first plan to the prompt's last chunk.", PrefillBuckets()),
          .decode = series.Histogram("hocket_request_decode_seconds",
                                     "From the prompt's last chunk to the request's end.",
                                     WholeRequestBuckets()),
          .inference =
              series.Histogram("hocket_request_inference_seconds",
                               "From the first plan to the request's end.", WholeRequestBuckets())};
}

Metrics::Metrics(prometheus::Registry* registry, const ModelInfo& info,
                 const SchedulerSettings& scheduler)
    : series_(registry, {{"model", info.name}}),
      calls_(series_, kModelMethods),
      steps_(series_),
      tenants_(series_),
      waits_(MakeWaits(series_)),
      tokens_(MakeTokens(series_)),
      latencies_(MakeLatencies(series_)),
      slow_readers_(series_.Counter("hocket_slow_readers_total",
                                    "Requests ended because their client did not read.")),
      attached_running_(Attach(series_, "running")),
      attached_ended_(Attach(series_, "ended")),
      quiet_seconds_(series_.Gauge("hocket_engine_quiet_seconds",
                                   "Time since the engine last ended a step or was idle.")),
      live_(series_.Gauge("hocket_live", "1 while the engine makes progress, else 0.")),
      ready_(series_.Gauge("hocket_ready", "1 while new requests are welcome, else 0.")),
      max_waiting_requests_(series_.Gauge("hocket_max_waiting_requests",
                                          "Requests that may wait, by --max-waiting-requests.")) {
  MakeByLabel();
  ShowModel(info);
  ShowLimits(scheduler);
  SetHealth(/*live=*/true, /*ready=*/true);
}

void Metrics::MakeByLabel() {
  for (const Refusal refusal : kRefusals) Refusals(series_, RefusalName(refusal));
  for (size_t i = 0; i < held_.size(); ++i) {
    const prometheus::Labels label = {{"priority", kPriorityNames[i]}};
    held_[i] = {.waiting = &series_.Gauge("hocket_requests_waiting",
                                          "Requests waiting for their first plan.", label),
                .running = &series_.Gauge("hocket_requests_running",
                                          "Requests started and not ended.", label)};
  }
  for (int i = 0; i <= static_cast<int>(kLastFinishReason); ++i) {
    const std::string name(FinishReasonName(static_cast<FinishReason>(i)));
    finish_reasons_.push_back(&series_.Counter("hocket_finish_reasons_total",
                                               "Requests that the engine ended, by finish reason.",
                                               {{"reason", name}}));
  }
  for (size_t i = 0; i < features_.size(); ++i) {
    features_[i] =
        &series_.Counter("hocket_sampling_requests_total",
                         "Requests started, by what they ask of sampling; one may ask for several.",
                         {{"feature", kFeatureNames[i]}});
  }
}

void Metrics::ShowModel(const ModelInfo& info) {
  series_
      .Gauge("hocket_build_info", "Always 1; the labels say what runs.",
             {{"version", HOCKET_VERSION},
              {"architecture", info.architecture},
              {"precision", std::string(PrecisionName(info.precision))},
              {"kv_precision", std::string(KvPrecisionName(info.kv_precision))},
              {"cpu", info.cpu}})
      .Set(1);
  const auto plan = [this](const char* part, int64_t bytes) {
    series_
        .Gauge("hocket_memory_planned_bytes",
               "Memory that each part takes once all of it is in use.", {{"part", part}})
        .Set(static_cast<double>(bytes));
  };
  plan("weights", info.weight_bytes);
  plan("kv_cache", info.kv_cache_bytes);
  plan("step_arena", info.arena_bytes);
}

void Metrics::ShowLimits(const SchedulerSettings& scheduler) {
  const auto show = [this](const char* name, const char* help, double value) {
    series_.Gauge(name, help).Set(value);
  };
  SetAdmission(scheduler.admission);
  show("hocket_max_running_sequences",
       "Sequences that may run together, by --max-running-sequences.",
       scheduler.max_running_sequences);
  show("hocket_kv_block_tokens", "Positions that a KV block holds.", scheduler.block_tokens);
  show("hocket_target_inter_token_seconds",
       "Time between tokens that steps are cut to while streams decode; 0: not at all.",
       absl::ToDoubleSeconds(scheduler.target_inter_token));
}

void Metrics::CountRefusal(std::string_view limit) { Refusals(series_, limit).Increment(); }

void Metrics::SetStats(const SchedulerStats& stats, absl::Duration quiet) {
  steps_.SetStats(stats);
  quiet_seconds_.Set(absl::ToDoubleSeconds(quiet));
}

void Metrics::SetAdmission(const AdmissionLimits& limits) {
  max_waiting_ = limits.max_waiting_requests;
  max_waiting_requests_.Set(limits.max_waiting_requests);
}

void Metrics::SetHealth(bool live, bool ready) {
  live_.Set(live ? 1 : 0);
  ready_.Set(ready ? 1 : 0);
}

}  // namespace hocket
