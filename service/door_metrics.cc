#include "service/door_metrics.h"

#include <string>

namespace hocket {
namespace {

prometheus::Counter& Reloads(const MetricSeries& series, absl::string_view what, bool ok) {
  return series.Counter("hocket_config_reloads_total",
                        "Files read again, by what they hold and by outcome.",
                        {{"what", std::string(what)}, {"outcome", ok ? "ok" : "error"}});
}

prometheus::Counter& Ended(const MetricSeries& series, const char* why) {
  return series.Counter("hocket_connections_ended_total",
                        "Connections ended because calls were opened, or opened and reset, on them "
                        "too fast.",
                        {{"reason", why}});
}

}  // namespace

DoorMetrics::DoorMetrics(prometheus::Registry* registry)
    : series_(registry),
      connections_(series_.Gauge("hocket_connections", "Open connections of clients.")),
      max_connections_(
          series_.Gauge("hocket_max_connections", "Connections of clients that may be open.")),
      refused_(series_.Counter("hocket_connections_refused_total",
                               "Connections closed at once, for as many were open as may be.")),
      ended_for_calls_(Ended(series_, "calls")),
      ended_for_resets_(Ended(series_, "resets")),
      header_blocks_refused_(
          series_.Counter("hocket_header_blocks_refused_total",
                          "Connections ended because the headers of a call did not end.")),
      certificate_expiry_(
          series_.Gauge("hocket_tls_certificate_expiry_timestamp_seconds",
                        "When the server's certificate expires, as Unix time; +Inf without one.")),
      key_expiry_(series_.Gauge(
          "hocket_api_key_expiry_timestamp_seconds",
          "When the next of the API keys in use expires, as Unix time; +Inf when none will.")) {
  SetCertificateExpiry(absl::InfiniteFuture());
  SetKeyExpiry(absl::InfiniteFuture());
  for (const char* what : {"api_keys", "config", "tls"}) {
    for (const bool ok : {true, false}) Reloads(series_, what, ok);
  }
}

void DoorMetrics::SetConnections(int64_t open, int64_t limit, int64_t refused_so_far) {
  std::lock_guard lock(mutex_);
  connections_.Set(static_cast<double>(open));
  max_connections_.Set(static_cast<double>(limit));
  RaiseTo(refused_, refused_so_far);
}

void DoorMetrics::SetEndedConnections(int64_t for_calls_so_far, int64_t for_resets_so_far) {
  std::lock_guard lock(mutex_);
  RaiseTo(ended_for_calls_, for_calls_so_far);
  RaiseTo(ended_for_resets_, for_resets_so_far);
}

void DoorMetrics::SetHeaderBlocksRefused(int64_t so_far) {
  std::lock_guard lock(mutex_);
  RaiseTo(header_blocks_refused_, so_far);
}

void DoorMetrics::SetCertificateExpiry(absl::Time expires) {
  certificate_expiry_.Set(absl::ToDoubleSeconds(expires - absl::UnixEpoch()));
}

void DoorMetrics::SetKeyExpiry(absl::Time next) {
  key_expiry_.Set(absl::ToDoubleSeconds(next - absl::UnixEpoch()));
}

void DoorMetrics::CountReload(absl::string_view what, bool ok) {
  Reloads(series_, what, ok).Increment();
}

}  // namespace hocket
