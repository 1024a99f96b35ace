#include "service/metric_series.h"

namespace hocket {

prometheus::Labels MetricSeries::AllLabels(const prometheus::Labels& labels) const {
  prometheus::Labels all = base_;
  all.insert(labels.begin(), labels.end());
  return all;
}

prometheus::Counter& MetricSeries::Counter(const char* name, const char* help,
                                           const prometheus::Labels& labels) const {
  return prometheus::BuildCounter()
      .Name(name)
      .Help(help)
      .Register(*registry_)
      .Add(AllLabels(labels));
}

prometheus::Gauge& MetricSeries::Gauge(const char* name, const char* help,
                                       const prometheus::Labels& labels) const {
  return prometheus::BuildGauge().Name(name).Help(help).Register(*registry_).Add(AllLabels(labels));
}

prometheus::Histogram& MetricSeries::Histogram(const char* name, const char* help,
                                               const Buckets& buckets,
                                               const prometheus::Labels& labels) const {
  return prometheus::BuildHistogram()
      .Name(name)
      .Help(help)
      .Register(*registry_)
      .Add(AllLabels(labels), buckets);
}

void RaiseTo(prometheus::Counter& counter, int64_t count) {
  const double missing = static_cast<double>(count) - counter.Value();
  if (missing > 0) counter.Increment(missing);
}

Buckets FirstTokenBuckets() {
  return {0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.35, 0.5, 0.75, 1,
          1.5,   2,    3,    5,    10,  20,  40,   60,  120,  300};
}

Buckets InterTokenBuckets() {
  return {0.001, 0.0025, 0.005, 0.0075, 0.01, 0.015, 0.02, 0.03, 0.04, 0.05,
          0.075, 0.1,    0.15,  0.2,    0.3,  0.5,   1,    2.5,  5,    10};
}

Buckets StepBuckets() {
  return {0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.02, 0.035, 0.05, 0.075,
          0.1,     0.15,   0.2,   0.35,   0.5,   1,    2.5,  5,     10,   30};
}

Buckets QueueBuckets() {
  return {0.001, 0.005, 0.01, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 20, 40, 60, 120, 300, 600};
}

Buckets PrefillBuckets() {
  return {0.001, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 20, 40, 60, 120, 300};
}

Buckets WholeRequestBuckets() {
  return {0.01, 0.05, 0.1, 0.25, 0.5, 1, 2, 4, 8, 15, 30, 60, 120, 300, 600, 1200, 3600};
}

Buckets RatioBuckets() { return {0.01, 0.02, 0.05, 0.1, 0.15, 0.2, 0.3, 0.5, 0.75, 1, 2, 5}; }

Buckets RowBuckets() { return {1, 2, 4, 8, 16, 32, 64, 128, 256, 512}; }

Buckets TokenBuckets() {
  return {1, 2, 4, 8, 16, 32, 64, 128, 256, 512, 1024, 2048, 4096, 8192, 16384, 32768, 131072};
}

}  // namespace hocket
