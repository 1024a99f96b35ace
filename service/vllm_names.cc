#include "service/vllm_names.h"

#include <algorithm>
#include <map>
#include <string>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/strings/string_view.h"

namespace hocket {
namespace {

using prometheus::ClientMetric;
using prometheus::MetricFamily;
using prometheus::MetricType;

// A family that is one of ours by another name.
struct Renamed {
  const char* ours;
  const char* name;
  const char* help;
};

constexpr Renamed kRenamed[] = {
    {"hocket_preemptions_total", "vllm:num_preemptions_total", "Preemptions."},
    {"hocket_prompt_tokens_total", "vllm:prompt_tokens_total",
     "Prompt tokens of started requests, cached ones included."},
    {"hocket_generated_tokens_total", "vllm:generation_tokens_total", "Tokens generated."},
    {"hocket_prompt_tokens_total", "vllm:prefix_cache_queries_total",
     "Prompt tokens looked up in the prefix cache."},
    {"hocket_prompt_cached_tokens_total", "vllm:prefix_cache_hits_total",
     "Prompt tokens found in the prefix cache."},
    {"hocket_time_to_first_token_seconds", "vllm:time_to_first_token_seconds",
     "From a request's arrival to its first token."},
    {"hocket_inter_token_seconds", "vllm:inter_token_latency_seconds",
     "Between two tokens of one choice."},
    {"hocket_inter_token_seconds", "vllm:time_per_output_token_seconds",
     "The older name of vllm:inter_token_latency_seconds."},
    {"hocket_request_seconds", "vllm:e2e_request_latency_seconds",
     "From a request's arrival to its end."},
    {"hocket_request_queue_seconds", "vllm:request_queue_time_seconds",
     "Time before a request's first step."},
    {"hocket_request_prefill_seconds", "vllm:request_prefill_time_seconds",
     "From a request's first step to the end of its prompt."},
    {"hocket_request_decode_seconds", "vllm:request_decode_time_seconds",
     "From the end of a request's prompt to its end."},
    {"hocket_request_inference_seconds", "vllm:request_inference_time_seconds",
     "From a request's first step to its end."},
    {"hocket_request_prompt_tokens", "vllm:request_prompt_tokens", "Prompt tokens of a request."},
    {"hocket_request_generated_tokens", "vllm:request_generation_tokens",
     "Tokens generated for a request."},
    {"hocket_step_tokens", "vllm:iteration_tokens_total", "Tokens computed in a step."},
};

// vLLM knows fewer reasons.
struct FinishedReason {
  const char* ours;
  const char* theirs;
};

constexpr FinishedReason kFinishedReasons[] = {
    {"stop_token", "stop"},   {"stop_string", "stop"}, {"constraint", "stop"},
    {"sentence", "stop"},     {"length", "length"},    {"context", "length"},
    {"time_limit", "length"}, {"cancelled", "abort"},  {"deadline", "abort"},
    {"shutdown", "abort"},    {"error", "error"},      {"repetition", "repetition"},
};

std::string LabelOf(const ClientMetric& metric, absl::string_view name) {
  for (const ClientMetric::Label& label : metric.label) {
    if (label.name == name) return label.value;
  }
  return "";
}

// The families by name, and sums over their series by model.
class Collected {
 public:
  using ByModel = std::map<std::string, double>;

  explicit Collected(const std::vector<MetricFamily>& families) {
    for (const MetricFamily& family : families) by_name_.emplace(family.name, &family);
  }

  const MetricFamily* Find(const std::string& name) const {
    const auto found = by_name_.find(name);
    return found == by_name_.end() ? nullptr : found->second;
  }

  ByModel Sums(const std::string& name) const {
    ByModel sums;
    const MetricFamily* family = Find(name);
    if (family == nullptr) return sums;
    for (const ClientMetric& metric : family->metric) {
      sums[LabelOf(metric, "model")] +=
          family->type == MetricType::Counter ? metric.counter.value : metric.gauge.value;
    }
    return sums;
  }

 private:
  std::map<std::string, const MetricFamily*> by_name_;
};

MetricFamily Family(MetricType type, const std::string& name, const std::string& help) {
  MetricFamily family;
  family.name = name;
  family.help = help;
  family.type = type;
  return family;
}

ClientMetric& AddSeries(MetricFamily& family, std::vector<ClientMetric::Label> labels) {
  family.metric.emplace_back();
  family.metric.back().label = std::move(labels);
  return family.metric.back();
}

MetricFamily Gauges(const std::string& name, const std::string& help,
                    const Collected::ByModel& values) {
  MetricFamily family = Family(MetricType::Gauge, name, help);
  for (const auto& [model, value] : values) {
    AddSeries(family, {{"model_name", model}}).gauge.value = value;
  }
  return family;
}

MetricFamily Rename(const Renamed& renamed, const MetricFamily& ours) {
  MetricFamily family = Family(ours.type, renamed.name, renamed.help);
  for (const ClientMetric& metric : ours.metric) {
    ClientMetric& series = AddSeries(family, {{"model_name", LabelOf(metric, "model")}});
    series.counter = metric.counter;
    series.histogram = metric.histogram;
  }
  return family;
}

// There, a preempted request waits.
void AddHeldRequests(const Collected& ours, std::vector<MetricFamily>& families) {
  Collected::ByModel running = ours.Sums("hocket_requests_running");
  Collected::ByModel waiting = ours.Sums("hocket_requests_waiting");
  for (const auto& [model, preempted] : ours.Sums("hocket_requests_preempted")) {
    running[model] = std::max(running[model] - preempted, 0.0);
    waiting[model] += preempted;
  }
  families.push_back(
      Gauges("vllm:num_requests_running", "Requests in the running batch.", running));
  families.push_back(Gauges("vllm:num_requests_waiting", "Requests that wait.", waiting));
}

void AddCacheUse(const Collected& ours, std::vector<MetricFamily>& families) {
  Collected::ByModel share = ours.Sums("hocket_kv_blocks_used");
  const Collected::ByModel total = ours.Sums("hocket_max_kv_blocks");
  MetricFamily config = Family(MetricType::Gauge, "vllm:cache_config_info",
                               "Always 1; the labels say how large the KV cache is.");
  const Collected::ByModel block_tokens = ours.Sums("hocket_kv_block_tokens");
  for (auto& [model, value] : share) {
    const auto blocks = total.find(model);
    const auto tokens = block_tokens.find(model);
    if (blocks == total.end() || tokens == block_tokens.end()) continue;
    value = blocks->second > 0 ? value / blocks->second : 0;
    AddSeries(config, {{"model_name", model},
                       {"block_size", absl::StrCat(tokens->second)},
                       {"num_gpu_blocks", absl::StrCat(static_cast<int64_t>(blocks->second))}})
        .gauge.value = 1;
  }
  families.push_back(
      Gauges("vllm:kv_cache_usage_perc", "Share of the KV cache in use, 0 to 1.", share));
  families.push_back(
      Gauges("vllm:gpu_cache_usage_perc", "The older name of vllm:kv_cache_usage_perc.", share));
  families.push_back(std::move(config));
}

void AddFinished(const Collected& ours, std::vector<MetricFamily>& families) {
  const MetricFamily* finished = ours.Find("hocket_finish_reasons_total");
  if (finished == nullptr) return;
  std::map<std::pair<std::string, std::string>, double> sums;
  for (const ClientMetric& metric : finished->metric) {
    const std::string reason = LabelOf(metric, "reason");
    for (const FinishedReason& known : kFinishedReasons) {
      if (known.ours != reason) continue;
      sums[{LabelOf(metric, "model"), known.theirs}] += metric.counter.value;
    }
  }
  MetricFamily family =
      Family(MetricType::Counter, "vllm:request_success_total", "Requests ended, by reason.");
  for (const auto& [key, value] : sums) {
    AddSeries(family, {{"model_name", key.first}, {"finished_reason", key.second}}).counter.value =
        value;
  }
  families.push_back(std::move(family));
}

// No adapters are served; gateways look for the family all the same.
MetricFamily NoAdapters(absl::Time now) {
  MetricFamily family = Family(MetricType::Gauge, "vllm:lora_requests_info",
                               "When it was made; the labels say that there are no adapters.");
  AddSeries(family,
            {{"max_lora", "0"}, {"running_lora_adapters", ""}, {"waiting_lora_adapters", ""}})
      .gauge.value = absl::ToDoubleSeconds(now - absl::UnixEpoch());
  return family;
}

}  // namespace

std::vector<MetricFamily> VllmFamilies(const std::vector<MetricFamily>& families, absl::Time now) {
  const Collected ours(families);
  std::vector<MetricFamily> theirs;
  for (const Renamed& renamed : kRenamed) {
    const MetricFamily* family = ours.Find(renamed.ours);
    if (family != nullptr) theirs.push_back(Rename(renamed, *family));
  }
  AddHeldRequests(ours, theirs);
  AddCacheUse(ours, theirs);
  AddFinished(ours, theirs);
  theirs.push_back(NoAdapters(now));
  return theirs;
}

}  // namespace hocket
