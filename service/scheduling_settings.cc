#include "service/scheduling_settings.h"

#include "absl/strings/str_cat.h"
#include "service/field_checks.h"

namespace hocket {
namespace {

constexpr size_t kMaxCacheSaltBytes = 256;

absl::StatusOr<PriorityClass> ReadPriority(v1::PriorityClass priority) {
  switch (priority) {
    case v1::PRIORITY_CLASS_INTERACTIVE:
      return PriorityClass::kInteractive;
    case v1::PRIORITY_CLASS_UNSPECIFIED:
    case v1::PRIORITY_CLASS_STANDARD:
      return PriorityClass::kStandard;
    case v1::PRIORITY_CLASS_BATCH:
      return PriorityClass::kBatch;
    default:
      return FieldError("scheduling.priority",
                        absl::StrCat(priority, " is not a known PriorityClass"));
  }
}

}  // namespace

v1::PriorityClass PriorityOf(PriorityClass priority) {
  switch (priority) {
    case PriorityClass::kInteractive:
      return v1::PRIORITY_CLASS_INTERACTIVE;
    case PriorityClass::kStandard:
      return v1::PRIORITY_CLASS_STANDARD;
    case PriorityClass::kBatch:
      return v1::PRIORITY_CLASS_BATCH;
  }
  return v1::PRIORITY_CLASS_UNSPECIFIED;
}

absl::StatusOr<SchedulingSettings> ReadScheduling(const v1::SchedulingSettings& in) {
  if (in.cache_salt().size() > kMaxCacheSaltBytes) {
    return FieldError("scheduling.cache_salt",
                      absl::StrCat(in.cache_salt().size(), " bytes are more than the limit of ",
                                   kMaxCacheSaltBytes));
  }
  absl::StatusOr<PriorityClass> priority = ReadPriority(in.priority());
  if (!priority.ok()) return priority.status();
  SchedulingSettings out;
  out.priority = *priority;
  out.cache_salt = in.cache_salt();
  return out;
}

std::string CacheSaltOf(const SchedulingSettings& settings, const std::string& tenant) {
  return settings.cache_salt.empty() ? absl::StrCat("tenant:", tenant)
                                     : absl::StrCat("salt:", settings.cache_salt);
}

void EchoScheduling(const SchedulingSettings& settings, v1::EffectiveSettings* out) {
  out->mutable_scheduling()->set_priority(PriorityOf(settings.priority));
  out->mutable_scheduling()->set_cache_salt(settings.cache_salt);
}

}  // namespace hocket
