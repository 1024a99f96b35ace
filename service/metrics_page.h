// The text that Prometheus reads: all series of the registry and of the process, under our names
// and, where asked, under vLLM's. Any thread.
#ifndef HOCKET_SERVICE_METRICS_PAGE_H_
#define HOCKET_SERVICE_METRICS_PAGE_H_

#include <prometheus/gauge.h>
#include <prometheus/registry.h>

#include <functional>
#include <mutex>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "service/process_metrics.h"

namespace hocket {

// Beside our own names, which are always there.
struct MetricsNames {
  bool vllm = false;
  bool operator==(const MetricsNames&) const = default;
};

// Of "hocket", "vllm", or both with a comma; INVALID_ARGUMENT naming what is neither.
absl::StatusOr<MetricsNames> ParseMetricsNames(const std::vector<std::string>& names);

class MetricsPage {
 public:
  // `refresh` (may be null) sets what is only known when asked for; by one thread at a time.
  MetricsPage(prometheus::Registry* registry, MetricsNames names,
              std::function<void()> refresh = nullptr);

  std::string Text();

 private:
  prometheus::Registry* const registry_;
  const MetricsNames names_;
  const std::function<void()> refresh_;
  const ProcessMetrics process_;
  std::mutex mutex_;  // One page at a time.
  prometheus::Gauge& page_seconds_;
};

}  // namespace hocket

#endif  // HOCKET_SERVICE_METRICS_PAGE_H_
