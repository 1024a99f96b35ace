// What one request adds to its model's metrics from its submission to its end. Owned by the
// request's sink. Submitting and NotTaken are called by whoever submits; from an accepted Submit on
// all the rest is the engine thread's.
#ifndef HOCKET_SERVICE_REQUEST_METRICS_H_
#define HOCKET_SERVICE_REQUEST_METRICS_H_

#include <bitset>
#include <optional>
#include <vector>

#include "absl/time/time.h"
#include "scheduler/request.h"
#include "scheduler/step.h"
#include "service/metrics.h"

namespace hocket {

class RequestMetrics {
 public:
  // `received`: when the call arrived, from which latencies count.
  RequestMetrics(Metrics* metrics, absl::Time received) : metrics_(metrics), received_(received) {}
  RequestMetrics(const RequestMetrics&) = delete;
  RequestMetrics& operator=(const RequestMetrics&) = delete;

  // Just before Engine::Submit, which may hear of the start before it returns.
  void Submitting(const Request& request);
  void NotTaken();  // Submit returned an error.

  void Started(const StartedEvent& event);
  void Drawn(const Outcome& outcome, absl::Time now);
  void Finished(const FinishedEvent& event, absl::Time now);

  // From the call's arrival on; none before it was drawn.
  std::optional<absl::Duration> first_token() const { return first_token_; }

 private:
  using Features = std::bitset<kSamplingFeatures>;
  static Features FeaturesOf(const Request& request);

  Metrics* const metrics_;
  const absl::Time received_;
  TenantSeries tenant_;
  Metrics::Held held_;
  Features features_;
  bool started_ = false;
  std::optional<absl::Duration> first_token_;
  std::vector<absl::Time> last_tokens_;  // By choice.
};

}  // namespace hocket

#endif  // HOCKET_SERVICE_REQUEST_METRICS_H_
