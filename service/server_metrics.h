// Numbers that belong to no model: calls that name no model served, whose label `model` is empty,
// and what is kept of requests that have ended. Once per server; any thread.
#ifndef HOCKET_SERVICE_SERVER_METRICS_H_
#define HOCKET_SERVICE_SERVER_METRICS_H_

#include <array>
#include <cstdint>

#include "absl/status/status.h"
#include "absl/strings/string_view.h"
#include "service/call_counters.h"
#include "service/metric_series.h"

namespace hocket {

class ServerMetrics {
 public:
  explicit ServerMetrics(prometheus::Registry* registry);

  void CountCall(absl::string_view method, const absl::Status& status) {
    calls_.Count(method, status);
  }

  void CountInvalidTraceparent() { invalid_traceparents_.Increment(); }

  // Of the log that is set up. When the page is read, by one thread at a time, as is what follows.
  void UpdateLogLines();

  void SetSlowSenders(int64_t since_start);

  // Set when the page is read: requests that have ended and can still be
  // attached to, the memory of all their answers, and since the start those let go because their
  // time was over or for want of room.
  void SetRetained(int64_t sessions, int64_t bytes, int64_t expired, int64_t evicted);

 private:
  CallCounters calls_;
  prometheus::Counter& invalid_traceparents_;
  prometheus::Counter& slow_senders_;
  std::array<prometheus::Counter*, 4> log_lines_{};
  prometheus::Gauge& retained_sessions_;
  prometheus::Gauge& retained_bytes_;
  prometheus::Counter& expired_sessions_;
  prometheus::Counter& evicted_sessions_;
};

}  // namespace hocket

#endif  // HOCKET_SERVICE_SERVER_METRICS_H_
