#include "service/expiry_watch.h"

#include <algorithm>
#include <utility>

#include "service/log_event.h"

namespace hocket {
namespace {

std::string Utc(absl::Time time) {
  return absl::FormatTime(absl::RFC3339_sec, time, absl::UTCTimeZone());
}

}  // namespace

void ExpiryWatch::SetCertificate(Expiry certificate, absl::Time now) {
  certificate_ = std::move(certificate);
  WriteCertificate(now);
}

void ExpiryWatch::SetKeys(std::vector<Expiry> keys, absl::Time now) {
  keys_ = std::move(keys);
  std::ranges::stable_sort(keys_, {}, &Expiry::at);
  WriteKeys(now);
}

void ExpiryWatch::Look(absl::Time now) {
  const bool certificate_ends = certificate_.at - now < kSoon;
  if (certificate_ends && now - certificate_told_ >= kPeriod) WriteCertificate(now);
  if (now - keys_told_ >= kPeriod) WriteKeys(now);
}

absl::Time ExpiryWatch::NextKey(absl::Time now) const {
  const auto first = FirstUnexpired(now);
  return first == keys_.end() ? absl::InfiniteFuture() : first->at;
}

std::vector<Expiry>::const_iterator ExpiryWatch::FirstUnexpired(absl::Time now) const {
  return std::ranges::upper_bound(keys_, now, {}, &Expiry::at);
}

void ExpiryWatch::WriteCertificate(absl::Time now) {
  certificate_told_ = now;
  const absl::Duration left = certificate_.at - now;
  const char* name = left <= absl::ZeroDuration() ? "tls_certificate_expired"
                     : left < kSoon               ? "tls_certificate_expires_soon"
                                                  : "tls_certificate";
  LogEvent(name)
      .Text("subject", certificate_.name)
      .Text("expires", Utc(certificate_.at))
      .Write(left < kSoon ? LogEvent::Level::kWarning : LogEvent::Level::kInfo);
}

void ExpiryWatch::WriteKeys(absl::Time now) {
  keys_told_ = now;
  const auto first = FirstUnexpired(now);
  const auto last = std::ranges::lower_bound(first, keys_.cend(), now + kSoon, {}, &Expiry::at);
  if (first == last) return;
  LogEvent("api_keys_expire_soon")
      .Count("keys", last - first)
      .Text("first", first->name)
      .Text("expires", Utc(first->at))
      .Write(LogEvent::Level::kWarning);
}

}  // namespace hocket
