// The flags of `hocket serve` about who may reach it and how. Made and used as ServeFlags is.
#ifndef HOCKET_SERVICE_CLI_SECURITY_FLAGS_H_
#define HOCKET_SERVICE_CLI_SECURITY_FLAGS_H_

#include "absl/status/status.h"
#include "absl/time/time.h"
#include "service/security_settings.h"

namespace CLI {
class App;
}

namespace hocket {

class SecurityFlags {
 public:
  // `settings` gets what the flags say, in part only with Fill, and must outlive this.
  explicit SecurityFlags(SecuritySettings* settings) : settings_(*settings) {}
  SecurityFlags(const SecurityFlags&) = delete;
  SecurityFlags& operator=(const SecurityFlags&) = delete;

  void AddFiles(CLI::App& app);   // Keys, certificates.
  void AddLimits(CLI::App& app);  // On connections.
  void Fill();

 private:
  SecuritySettings& settings_;
  double max_idle_seconds_ = absl::ToDoubleSeconds(SecuritySettings().max_connection_idle);
  double max_age_seconds_ = 0;  // No limit.
};

}  // namespace hocket

#endif  // HOCKET_SERVICE_CLI_SECURITY_FLAGS_H_
