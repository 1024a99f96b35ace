// What the requests of each tenant add to a model's metrics. Only tenants that the operator has
// named have series of their own, and at most kMaxNamed; all others are "other", so that clients
// cannot make series. Any thread.
#ifndef HOCKET_SERVICE_TENANT_METRICS_H_
#define HOCKET_SERVICE_TENANT_METRICS_H_

#include <mutex>
#include <string>
#include <unordered_map>
#include <vector>

#include "service/metric_series.h"

namespace hocket {

struct TenantSeries {
  prometheus::Counter* requests = nullptr;
  prometheus::Counter* prompt_tokens = nullptr;
  prometheus::Counter* generated_tokens = nullptr;
  prometheus::Gauge* waiting = nullptr;
  prometheus::Gauge* running = nullptr;
};

class TenantMetrics {
 public:
  static constexpr size_t kMaxNamed = 100;

  explicit TenantMetrics(const MetricSeries& series);

  // Adds those that are new, as long as there is room. Names once added stay, as counters must.
  void Name(const std::vector<std::string>& tenants);

  TenantSeries Of(const std::string& tenant) const;

 private:
  TenantSeries Make(const std::string& label) const;

  const MetricSeries series_;
  const TenantSeries other_;
  mutable std::mutex mutex_;
  std::unordered_map<std::string, TenantSeries> named_;  // Guarded by mutex_.
};

}  // namespace hocket

#endif  // HOCKET_SERVICE_TENANT_METRICS_H_
