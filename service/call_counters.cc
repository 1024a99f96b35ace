#include "service/call_counters.h"

#include <string>

#include "service/error_reasons.h"
#include "service/status.h"

namespace hocket {

CallCounters::CallCounters(const MetricSeries& series, absl::Span<const absl::string_view> methods)
    : series_(series) {
  for (const absl::string_view method : methods) {
    Ended(method, StatusLabel(absl::OkStatus()));
    for (const ErrorReasonRow& row : ErrorReasons()) {
      Ended(method, StatusLabel(absl::Status(row.code, row.name)));
    }
  }
  for (const ErrorReasonRow& row : ErrorReasons()) {
    errors_.push_back(&series_.Counter("hocket_request_errors_total",
                                       "Calls that ended with an error, by its reason.",
                                       {{"reason", std::string(row.name)}}));
  }
}

void CallCounters::Count(absl::string_view method, const absl::Status& status) {
  Ended(method, StatusLabel(status)).Increment();
  if (!status.ok()) errors_[static_cast<size_t>(ReasonOrFallback(status))]->Increment();
}

prometheus::Counter& CallCounters::Ended(absl::string_view method,
                                         absl::string_view outcome) const {
  return series_.Counter("hocket_requests_total",
                         "Calls ended, by method and by outcome: ok or the status code.",
                         {{"method", std::string(method)}, {"outcome", std::string(outcome)}});
}

}  // namespace hocket
