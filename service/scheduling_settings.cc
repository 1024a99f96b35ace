#include "service/scheduling_settings.h"

#include "absl/strings/str_cat.h"
#include "service/field_checks.h"

namespace hocket {
namespace {

constexpr size_t kMaxCacheSaltBytes = 256;

}  // namespace

absl::StatusOr<SchedulingSettings> ReadScheduling(const v1::SchedulingSettings& in) {
  if (in.cache_salt().size() > kMaxCacheSaltBytes) {
    return FieldError("scheduling.cache_salt",
                      absl::StrCat(in.cache_salt().size(), " bytes are more than the limit of ",
                                   kMaxCacheSaltBytes));
  }
  SchedulingSettings out;
  out.cache_salt = in.cache_salt();
  return out;
}

void EchoScheduling(const SchedulingSettings& settings, v1::EffectiveSettings* out) {
  out->mutable_scheduling()->set_cache_salt(settings.cache_salt);
}

}  // namespace hocket
