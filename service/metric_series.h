// Makes the series of one subject on a registry: all of them carry the labels given at the start,
// such as the model's name. A family that exists already is joined, so that several models share
// one. Any thread: the registry locks.
#ifndef HOCKET_SERVICE_METRIC_SERIES_H_
#define HOCKET_SERVICE_METRIC_SERIES_H_

#include <prometheus/counter.h>
#include <prometheus/gauge.h>
#include <prometheus/histogram.h>
#include <prometheus/labels.h>
#include <prometheus/registry.h>

#include <cstdint>

namespace hocket {

using Buckets = prometheus::Histogram::BucketBoundaries;

class MetricSeries {
 public:
  // `registry` must outlive what is made.
  explicit MetricSeries(prometheus::Registry* registry, prometheus::Labels base = {})
      : registry_(registry), base_(std::move(base)) {}

  // `name` and `help` are the family's; the same series is given for the same labels.
  prometheus::Counter& Counter(const char* name, const char* help,
                               const prometheus::Labels& labels = {}) const;
  prometheus::Gauge& Gauge(const char* name, const char* help,
                           const prometheus::Labels& labels = {}) const;
  prometheus::Histogram& Histogram(const char* name, const char* help, const Buckets& buckets,
                                   const prometheus::Labels& labels = {}) const;

 private:
  prometheus::Labels AllLabels(const prometheus::Labels& labels) const;

  prometheus::Registry* const registry_;
  const prometheus::Labels base_;
};

// Raises a counter to a count that is kept elsewhere. One thread only.
void RaiseTo(prometheus::Counter& counter, int64_t count);

// Upper bounds, each chosen for what it measures: dense where a target or an alarm would lie.
Buckets FirstTokenBuckets();    // Seconds: a short prompt on a small model to a long one's wait.
Buckets InterTokenBuckets();    // Seconds: reading speed is about 0.2, smooth is below 0.05.
Buckets StepBuckets();          // Seconds: of a tiny model to a slow machine's longest chunk.
Buckets QueueBuckets();         // Seconds: not at all, for a moment, or hopelessly.
Buckets PrefillBuckets();       // Seconds.
Buckets WholeRequestBuckets();  // Seconds: from one token to a long story.
Buckets RatioBuckets();         // Of prediction errors; 0.3 is where to look.
Buckets RowBuckets();           // Rows in a step.
Buckets TokenBuckets();         // Tokens of a step or a request.

}  // namespace hocket

#endif  // HOCKET_SERVICE_METRIC_SERIES_H_
