// What Prometheus' clients usually tell of their process: processor time, memory, descriptors,
// threads, and when it started. Read from the kernel each time the page is; any thread.
#ifndef HOCKET_SERVICE_PROCESS_METRICS_H_
#define HOCKET_SERVICE_PROCESS_METRICS_H_

#include <prometheus/collectable.h>
#include <prometheus/metric_family.h>

#include <vector>

#include "absl/time/time.h"

namespace hocket {

class ProcessMetrics : public prometheus::Collectable {
 public:
  // What cannot be read is left out.
  std::vector<prometheus::MetricFamily> Collect() const override;
};

// Of all threads, in user and kernel mode, since the process started.
absl::Duration ProcessCpuTime();

}  // namespace hocket

#endif  // HOCKET_SERVICE_PROCESS_METRICS_H_
