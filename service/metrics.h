// Every number that the service exports about one model. The registry is made in the server and
// shared by all models; each series has the label `model`, the name under which it is served.
// Requests are observed on any thread (service/request_metrics.h follows one through its life),
// steps on the engine thread; each observation is a few atomic operations or one short lock.
#ifndef HOCKET_SERVICE_METRICS_H_
#define HOCKET_SERVICE_METRICS_H_

#include <array>
#include <atomic>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/status.h"
#include "absl/strings/string_view.h"
#include "absl/time/time.h"
#include "runtime/model_runtime.h"
#include "scheduler/engine.h"
#include "scheduler/request.h"
#include "service/call_counters.h"
#include "service/metric_series.h"
#include "service/step_metrics.h"
#include "service/tenant_metrics.h"

namespace hocket {

// What a request asks of sampling; it may ask for several.
enum class SamplingFeature {
  kPromptOnly,   // Nothing is drawn: scores and embeddings.
  kGreedy,       // Temperature 0.
  kRandom,       // Any other.
  kBeamSearch,   // In place of both.
  kChoices,      // More than one, without beam search.
  kConstrained,  // By a grammar.
  kPenalties,    // Of what was said before, DRY included.
  kTokenRules,   // Biases, allowed and banned tokens, bad words.
  kLogprobs,
  kSpeculation,
};
inline constexpr size_t kSamplingFeatures = 10;

class Metrics : public EngineObserver {
 public:
  // `info.name` is what requests call it. `scheduler`: whose limits are shown.
  Metrics(prometheus::Registry* registry, const ModelInfo& info,
          const SchedulerSettings& scheduler = {});

  void OnStep(const StepObservation& step) override { steps_.OnStep(step); }

  // One call has ended, refused or served. `method` is of a fixed set.
  void CountRequest(absl::string_view method, const absl::Status& status) {
    calls_.Count(method, status);
  }

  // The engine did not take a request; `limit` is of a fixed set.
  void CountRefusal(std::string_view limit);

  // A request ended because its client did not read what was sent.
  void CountSlowReader() { slow_readers_.Increment(); }

  // A call was attached to a request of the same id; `running`: which had not ended yet.
  void CountAttach(bool running) { (running ? attached_running_ : attached_ended_).Increment(); }

  // Tenants that have series of their own from now on.
  void NameTenants(const std::vector<std::string>& tenants) { tenants_.Name(tenants); }

  // Gauges are set from this when the page is read; `quiet`: since the engine last made progress.
  void SetStats(const SchedulerStats& stats, absl::Duration quiet = absl::ZeroDuration());

  // Limits of the engine's line, at the start and when they change. Any thread.
  void SetAdmission(const AdmissionLimits& limits);
  int32_t max_waiting_requests() const { return max_waiting_; }

  // Of what the health watch thinks.
  void SetHealth(bool live, bool ready);

  absl::Duration LongestRecentStep() const { return steps_.LongestRecentStep(); }

 private:
  friend class RequestMetrics;
  using Counter = prometheus::Counter;
  using Gauge = prometheus::Gauge;
  using Histogram = prometheus::Histogram;

  struct Waits {
    Counter& slots;
    Counter& blocks;
    Counter& budget;
    Counter& fairness;
  };
  struct Tokens {
    Counter& prompt;
    Counter& cached;
    Counter& generated;
    Histogram& of_prompt;
    Histogram& of_answer;
  };
  struct Latencies {
    Histogram& first_token;
    Histogram& inter_token;
    Histogram& request;
    Histogram& queue;
    Histogram& prefill;
    Histogram& decode;
    Histogram& inference;
  };
  struct Held {  // Of one priority class.
    Gauge* waiting = nullptr;
    Gauge* running = nullptr;
  };

  static Waits MakeWaits(const MetricSeries& series);
  static Tokens MakeTokens(const MetricSeries& series);
  static Latencies MakeLatencies(const MetricSeries& series);
  void MakeByLabel();
  void ShowModel(const ModelInfo& info);
  void ShowLimits(const SchedulerSettings& scheduler);

  const MetricSeries series_;
  CallCounters calls_;
  StepMetrics steps_;
  TenantMetrics tenants_;
  Waits waits_;
  Tokens tokens_;
  Latencies latencies_;
  Counter& slow_readers_;
  Counter& attached_running_;
  Counter& attached_ended_;
  Gauge& quiet_seconds_;
  Gauge& live_;
  Gauge& ready_;
  Gauge& max_waiting_requests_;
  std::atomic<int32_t> max_waiting_ = 0;
  std::array<Held, kPriorityClasses> held_;
  std::vector<Counter*> finish_reasons_;  // By FinishReason.
  std::array<Counter*, kSamplingFeatures> features_{};
};

}  // namespace hocket

#endif  // HOCKET_SERVICE_METRICS_H_
