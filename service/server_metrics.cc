#include "service/server_metrics.h"

#include "service/log_counter.h"

namespace hocket {
namespace {

// Any method may be called for a model that is not served, or by nobody known.
constexpr absl::string_view kMethods[] = {"Generate",   "StreamGenerate", "Score",  "Embed",
                                          "Tokenize",   "Detokenize",     "Cancel", "ListRequests",
                                          "ListModels", "GetModel"};

struct LogLevel {
  spdlog::level::level_enum level;
  const char* label;
};
constexpr LogLevel kLogLevels[] = {{spdlog::level::debug, "debug"},
                                   {spdlog::level::info, "info"},
                                   {spdlog::level::warn, "warning"},
                                   {spdlog::level::err, "error"}};

prometheus::Counter& LetGo(prometheus::Registry* registry, const char* why) {
  return MetricSeries(registry).Counter(
      "hocket_retained_sessions_ended_total",
      "Requests kept for clients that may come back, and let go: for time or for room.",
      {{"reason", why}});
}

}  // namespace

ServerMetrics::ServerMetrics(prometheus::Registry* registry)
    : calls_(MetricSeries(registry, {{"model", ""}}), kMethods),
      invalid_traceparents_(MetricSeries(registry).Counter(
          "hocket_invalid_traceparents_total",
          "Calls whose traceparent was not well formed, and taken as absent.")),
      slow_senders_(MetricSeries(registry).Counter(
          "hocket_slow_senders_total", "Calls ended because their message was not whole in time.")),
      retained_sessions_(MetricSeries(registry).Gauge(
          "hocket_retained_sessions", "Requests kept for clients that may come back.")),
      retained_bytes_(MetricSeries(registry).Gauge(
          "hocket_retained_session_bytes",
          "Memory of the requests kept for clients that may come back.")),
      expired_sessions_(LetGo(registry, "time")),
      evicted_sessions_(LetGo(registry, "room")) {
  for (size_t i = 0; i < log_lines_.size(); ++i) {
    log_lines_[i] = &MetricSeries(registry).Counter(
        "hocket_log_lines_total", "Lines of the log, by level.", {{"level", kLogLevels[i].label}});
  }
}

void ServerMetrics::UpdateLogLines() {
  const LogCounter* counter = LogCounter::OfDefaultLog();
  if (counter == nullptr) return;
  for (size_t i = 0; i < log_lines_.size(); ++i) {
    RaiseTo(*log_lines_[i], counter->lines(kLogLevels[i].level));
  }
}

void ServerMetrics::SetSlowSenders(int64_t since_start) { RaiseTo(slow_senders_, since_start); }

void ServerMetrics::SetRetained(int64_t sessions, int64_t bytes, int64_t expired, int64_t evicted) {
  retained_sessions_.Set(static_cast<double>(sessions));
  retained_bytes_.Set(static_cast<double>(bytes));
  RaiseTo(expired_sessions_, expired);
  RaiseTo(evicted_sessions_, evicted);
}

}  // namespace hocket
