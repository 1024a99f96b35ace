// What the server exports about its connections, its certificate and the files that it reads
// again. Once per server; any thread.
#ifndef HOCKET_SERVICE_DOOR_METRICS_H_
#define HOCKET_SERVICE_DOOR_METRICS_H_

#include <cstdint>
#include <mutex>

#include "absl/strings/string_view.h"
#include "absl/time/time.h"
#include "service/metric_series.h"

namespace hocket {

class DoorMetrics {
 public:
  explicit DoorMetrics(prometheus::Registry* registry);

  void SetConnections(int64_t open, int64_t limit, int64_t refused_so_far);
  void SetEndedConnections(int64_t for_calls_so_far, int64_t for_resets_so_far);
  void SetHeaderBlocksRefused(int64_t so_far);
  void SetCertificateExpiry(absl::Time expires);  // InfiniteFuture without one.
  void SetKeyExpiry(absl::Time next);             // InfiniteFuture when none expires.
  // `what` is "config", "tls" or "api_keys".
  void CountReload(absl::string_view what, bool ok);

 private:
  const MetricSeries series_;
  prometheus::Gauge& connections_;
  prometheus::Gauge& max_connections_;
  prometheus::Counter& refused_;
  prometheus::Counter& ended_for_calls_;
  prometheus::Counter& ended_for_resets_;
  prometheus::Counter& header_blocks_refused_;
  prometheus::Gauge& certificate_expiry_;
  prometheus::Gauge& key_expiry_;
  std::mutex mutex_;
};

}  // namespace hocket

#endif  // HOCKET_SERVICE_DOOR_METRICS_H_
