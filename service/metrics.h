// Every number that the service exports. The registry is made in the server and handed in. Requests
// are observed on any thread, steps on the engine thread; each observation is a few atomic
// operations or one short lock.
#ifndef HOCKET_SERVICE_METRICS_H_
#define HOCKET_SERVICE_METRICS_H_

#include <prometheus/counter.h>
#include <prometheus/family.h>
#include <prometheus/gauge.h>
#include <prometheus/histogram.h>
#include <prometheus/registry.h>

#include <cstdint>
#include <string_view>

#include "absl/strings/string_view.h"
#include "absl/time/time.h"
#include "runtime/model_runtime.h"
#include "scheduler/engine.h"
#include "scheduler/request.h"

namespace hocket {

class Metrics : public EngineObserver {
 public:
  Metrics(prometheus::Registry* registry, const ModelInfo& info);

  void OnStep(const StepObservation& step) override;

  // One call has ended, refused or served. `method` and `outcome` are of a fixed set.
  void CountRequest(absl::string_view method, absl::string_view outcome);

  // The engine did not take a request; `reason` is of a fixed set.
  void CountRefusal(std::string_view reason);

  // Why a request waited.
  void CountWaits(const WaitTimes& waits);

  void CountPromptTokens(int64_t computed, int64_t cached);
  void CountGeneratedTokens(int64_t tokens);
  void ObserveFirstToken(absl::Duration since_received);
  void ObserveNextToken(absl::Duration since_last);
  void ObserveFinished(const FinishedEvent& event, absl::Duration since_received);

  // Gauges are set from this when the page is read.
  void SetStats(const SchedulerStats& stats);

 private:
  prometheus::Family<prometheus::Counter>& requests_;
  prometheus::Family<prometheus::Counter>& finish_reasons_;
  prometheus::Family<prometheus::Counter>& refusals_;
  prometheus::Family<prometheus::Counter>& waits_;
  prometheus::Counter& prompt_tokens_;
  prometheus::Counter& cached_tokens_;
  prometheus::Counter& generated_tokens_;
  prometheus::Histogram& first_token_seconds_;
  prometheus::Histogram& inter_token_seconds_;
  prometheus::Histogram& request_seconds_;
  prometheus::Histogram& queue_seconds_;
  prometheus::Gauge& running_;
  prometheus::Gauge& waiting_;
  prometheus::Gauge& kv_used_;
  prometheus::Gauge& kv_cached_;
  prometheus::Gauge& kv_total_;
  prometheus::Histogram& step_seconds_;
  prometheus::Histogram& step_predicted_seconds_;
  prometheus::Histogram& step_prediction_error_;
  prometheus::Histogram& step_rows_;
  prometheus::Histogram& step_prefill_tokens_;
  prometheus::Counter& forward_seconds_;
  prometheus::Counter& sample_seconds_;
  prometheus::Counter& text_seconds_;
  prometheus::Counter& schedule_seconds_;
  prometheus::Counter& preemptions_;
  prometheus::Counter& draft_tokens_;
  prometheus::Counter& accepted_draft_tokens_;
  prometheus::Counter& prefix_queries_;
  prometheus::Counter& prefix_hits_;
  prometheus::Counter& prefix_saved_tokens_;
  prometheus::Counter& prefix_evictions_;
};

}  // namespace hocket

#endif  // HOCKET_SERVICE_METRICS_H_
