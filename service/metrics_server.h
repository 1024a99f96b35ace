// The HTTP page beside the service: /metrics for Prometheus, /healthz and /readyz for probes. Has
// its own few threads. Made and destroyed on one thread.
#ifndef HOCKET_SERVICE_METRICS_SERVER_H_
#define HOCKET_SERVICE_METRICS_SERVER_H_

#include <cstdint>
#include <functional>
#include <memory>
#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"

namespace hocket {

// What the pages say. Called on the page's threads.
struct PageSources {
  std::function<std::string()> metrics;   // In Prometheus' text format.
  std::function<absl::Status()> healthy;  // Not OK: 503 with the message.
  std::function<absl::Status()> ready;
};

class MetricsServer {
 public:
  // `port` 0 takes any free one. UNAVAILABLE naming the address when it cannot be had.
  static absl::StatusOr<std::unique_ptr<MetricsServer>> Start(const std::string& host, int32_t port,
                                                              PageSources sources);
  virtual ~MetricsServer() = default;  // Stops listening and waits for its threads.
  virtual int32_t port() const = 0;
};

}  // namespace hocket

#endif  // HOCKET_SERVICE_METRICS_SERVER_H_
