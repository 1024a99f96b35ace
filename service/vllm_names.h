// The names that dashboards, autoscalers and gateways made for vLLM read, given to the numbers that
// Hocket has: docs/operations.md says which is which. Nothing is counted twice; families are made
// from those just collected. Pure; any thread.
#ifndef HOCKET_SERVICE_VLLM_NAMES_H_
#define HOCKET_SERVICE_VLLM_NAMES_H_

#include <prometheus/metric_family.h>

#include <vector>

#include "absl/time/time.h"

namespace hocket {

// `families`: those of the registry. The label `model` becomes `model_name`, other labels are
// summed over. `now`: of the page.
std::vector<prometheus::MetricFamily> VllmFamilies(
    const std::vector<prometheus::MetricFamily>& families, absl::Time now);

}  // namespace hocket

#endif  // HOCKET_SERVICE_VLLM_NAMES_H_
