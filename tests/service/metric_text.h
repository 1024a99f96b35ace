// Reads a page in Prometheus' text format, for tests of metrics.
#ifndef HOCKET_TESTS_SERVICE_METRIC_TEXT_H_
#define HOCKET_TESTS_SERVICE_METRIC_TEXT_H_

#include <prometheus/registry.h>

#include <map>
#include <set>
#include <string>
#include <vector>

namespace hocket {

class MetricText {
 public:
  explicit MetricText(const std::string& page);
  static MetricText Of(const prometheus::Collectable& registry);

  // Of the one series with this name and labels, written in any order: `name{b="2",a="1"}`. NaN
  // when there is none.
  double Value(const std::string& series) const;

  // Without labels; of histograms with _bucket, _sum and _count.
  std::vector<std::string> SeriesOf(const std::string& name) const;

  // By family: "counter", "gauge" or "histogram".
  const std::map<std::string, std::string>& types() const { return types_; }

 private:
  using Labels = std::set<std::string>;  // `name="value"`.
  struct Series {
    std::string name;
    Labels labels;
    bool operator<(const Series& other) const {
      return name != other.name ? name < other.name : labels < other.labels;
    }
  };
  static Series Parse(const std::string& text);

  std::map<Series, double> values_;
  std::map<std::string, std::string> types_;
};

}  // namespace hocket

#endif  // HOCKET_TESTS_SERVICE_METRIC_TEXT_H_
