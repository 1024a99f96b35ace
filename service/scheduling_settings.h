// What a request asks of the scheduler, checked and with defaults filled in, and back again as the
// client is told it. Pure; any thread.
#ifndef HOCKET_SERVICE_SCHEDULING_SETTINGS_H_
#define HOCKET_SERVICE_SCHEDULING_SETTINGS_H_

#include <string>

#include "absl/status/statusor.h"
#include "hocket/v1/generation.pb.h"
#include "scheduler/request.h"

namespace hocket {

struct SchedulingSettings {
  PriorityClass priority = PriorityClass::kStandard;
  std::string cache_salt;  // Empty: the tenant's own.
};

// INVALID_ARGUMENT naming the field.
absl::StatusOr<SchedulingSettings> ReadScheduling(const v1::SchedulingSettings& in);

// The scheduler's salt: tenants meet only in salts that they name.
std::string CacheSaltOf(const SchedulingSettings& settings, const std::string& tenant);

v1::PriorityClass PriorityOf(PriorityClass priority);
void EchoScheduling(const SchedulingSettings& settings, v1::EffectiveSettings* out);

}  // namespace hocket

#endif  // HOCKET_SERVICE_SCHEDULING_SETTINGS_H_
