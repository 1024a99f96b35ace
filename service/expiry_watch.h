// Warns in the log of a certificate and of API keys that are about to expire: when they are loaded,
// and again each day for as long as they are in use. No thread and no clock of its own; one thread
// at a time.
#ifndef HOCKET_SERVICE_EXPIRY_WATCH_H_
#define HOCKET_SERVICE_EXPIRY_WATCH_H_

#include <string>
#include <vector>

#include "absl/time/time.h"

namespace hocket {

// Something that is of no use from a time on.
struct Expiry {
  std::string name;
  absl::Time at;
};

class ExpiryWatch {
 public:
  static constexpr absl::Duration kSoon = absl::Hours(14 * 24);
  static constexpr absl::Duration kPeriod = absl::Hours(24);

  // In use from `now` on, in place of what was before: logs it, as a warning when it ends soon.
  void SetCertificate(Expiry certificate, absl::Time now);
  // Of the keys that expire at all. Logs nothing but a warning.
  void SetKeys(std::vector<Expiry> keys, absl::Time now);

  // To be called now and then, more often than kPeriod.
  void Look(absl::Time now);

  // The first key that has not expired yet; InfiniteFuture when none ever will.
  absl::Time NextKey(absl::Time now) const;

 private:
  void WriteCertificate(absl::Time now);
  void WriteKeys(absl::Time now);
  std::vector<Expiry>::const_iterator FirstUnexpired(absl::Time now) const;

  Expiry certificate_{.name = "", .at = absl::InfiniteFuture()};
  std::vector<Expiry> keys_;  // The first to expire first.
  absl::Time certificate_told_ = absl::InfinitePast();
  absl::Time keys_told_ = absl::InfinitePast();
};

}  // namespace hocket

#endif  // HOCKET_SERVICE_EXPIRY_WATCH_H_
