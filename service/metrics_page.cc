#include "service/metrics_page.h"

#include <prometheus/text_serializer.h>

#include <iterator>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "absl/time/clock.h"
#include "service/metric_series.h"
#include "service/steady_clock.h"
#include "service/vllm_names.h"

namespace hocket {
namespace {

void Append(std::vector<prometheus::MetricFamily> more,
            std::vector<prometheus::MetricFamily>& families) {
  families.insert(families.end(), std::make_move_iterator(more.begin()),
                  std::make_move_iterator(more.end()));
}

}  // namespace

absl::StatusOr<MetricsNames> ParseMetricsNames(const std::vector<std::string>& names) {
  MetricsNames parsed;
  for (const std::string& list : names) {
    for (const absl::string_view name : absl::StrSplit(list, ',')) {
      if (name == "vllm") {
        parsed.vllm = true;
      } else if (name != "hocket") {
        return absl::InvalidArgumentError(
            absl::StrCat("metrics names: \"", name, "\" is neither hocket nor vllm"));
      }
    }
  }
  return parsed;
}

MetricsPage::MetricsPage(prometheus::Registry* registry, MetricsNames names,
                         std::function<void()> refresh)
    : registry_(registry),
      names_(names),
      refresh_(std::move(refresh)),
      page_seconds_(MetricSeries(registry).Gauge("hocket_metrics_page_seconds",
                                                 "What making this page took the last time.")) {}

std::string MetricsPage::Text() {
  std::lock_guard lock(mutex_);
  const absl::Time begin = SteadyNow();
  if (refresh_ != nullptr) refresh_();
  std::vector<prometheus::MetricFamily> families = registry_->Collect();
  if (names_.vllm) Append(VllmFamilies(families, absl::Now()), families);
  Append(process_.Collect(), families);
  std::string text = prometheus::TextSerializer().Serialize(families);
  page_seconds_.Set(absl::ToDoubleSeconds(SteadyNow() - begin));
  return text;
}

}  // namespace hocket
