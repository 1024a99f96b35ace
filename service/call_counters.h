// Calls that have ended: how many of each method with which outcome, and the reasons of those that
// failed. One for each model, and one for the calls that belong to no model. Any thread.
#ifndef HOCKET_SERVICE_CALL_COUNTERS_H_
#define HOCKET_SERVICE_CALL_COUNTERS_H_

#include <prometheus/counter.h>

#include <vector>

#include "absl/status/status.h"
#include "absl/strings/string_view.h"
#include "absl/types/span.h"
#include "service/metric_series.h"

namespace hocket {

class CallCounters {
 public:
  // Every method and outcome begins at 0, so that the first error of a kind is a rise.
  CallCounters(const MetricSeries& series, absl::Span<const absl::string_view> methods);

  // `method` is of a fixed set.
  void Count(absl::string_view method, const absl::Status& status);

 private:
  prometheus::Counter& Ended(absl::string_view method, absl::string_view outcome) const;

  const MetricSeries series_;
  std::vector<prometheus::Counter*> errors_;  // By ErrorReason.
};

}  // namespace hocket

#endif  // HOCKET_SERVICE_CALL_COUNTERS_H_
