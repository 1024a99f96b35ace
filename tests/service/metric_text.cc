#include "metric_text.h"

#include <prometheus/text_serializer.h>

#include <limits>
#include <regex>
#include <sstream>

namespace hocket {

MetricText MetricText::Of(const prometheus::Collectable& registry) {
  return MetricText(prometheus::TextSerializer().Serialize(registry.Collect()));
}

MetricText::MetricText(const std::string& page) {
  std::istringstream lines(page);
  for (std::string line; std::getline(lines, line);) {
    if (line.starts_with("# TYPE ")) {
      std::istringstream words(line.substr(7));
      std::string name, type;
      words >> name >> type;
      types_[name] = type;
    } else if (!line.empty() && line[0] != '#') {
      const size_t space = line.rfind(' ');
      const std::string value = line.substr(space + 1);
      values_[Parse(line.substr(0, space))] =
          value == "+Inf" ? std::numeric_limits<double>::infinity() : std::stod(value);
    }
  }
}

MetricText::Series MetricText::Parse(const std::string& text) {
  Series series;
  const size_t brace = text.find('{');
  series.name = text.substr(0, brace);
  if (brace == std::string::npos) return series;
  static const std::regex kLabel(R"re((\w+)="((?:[^"\\]|\\.)*)")re");
  const std::string labels = text.substr(brace);
  for (std::sregex_iterator it(labels.begin(), labels.end(), kLabel), end; it != end; ++it) {
    series.labels.insert(it->str());
  }
  return series;
}

double MetricText::Value(const std::string& series) const {
  const auto found = values_.find(Parse(series));
  return found == values_.end() ? std::numeric_limits<double>::quiet_NaN() : found->second;
}

std::vector<std::string> MetricText::SeriesOf(const std::string& name) const {
  std::vector<std::string> found;
  for (const auto& [series, value] : values_) {
    if (series.name != name) continue;
    std::string text = name;
    for (const std::string& label : series.labels) text += " " + label;
    found.push_back(text);
  }
  return found;
}

}  // namespace hocket
