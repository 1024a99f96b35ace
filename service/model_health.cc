#include "service/model_health.h"

#include <algorithm>

#include "absl/strings/str_cat.h"

namespace hocket {

absl::Status HealthSettings::Validate() const {
  if (stall < absl::Seconds(1) || stall > absl::Hours(24)) {
    return absl::InvalidArgumentError(absl::StrCat("stall: ", absl::ToDoubleSeconds(stall),
                                                   " seconds is out of range [1, 86400]"));
  }
  if (!(ready_queue_fraction > 0 && ready_queue_fraction <= 1)) {
    return absl::InvalidArgumentError(
        absl::StrCat("ready_queue_fraction: ", ready_queue_fraction, " is out of range (0, 1]"));
  }
  return absl::OkStatus();
}

void ModelHealth::Judge(const EngineSigns& signs, absl::Time now) {
  live_ = JudgeProgress(signs, now);
  ready_ = JudgeLine(signs);
}

absl::Status ModelHealth::JudgeProgress(const EngineSigns& signs, absl::Time now) {
  if (!signs.working || last_progress_ != signs.last_progress) {
    last_progress_ = signs.last_progress;
    quiet_since_ = now;
  }
  const absl::Duration quiet = now - quiet_since_;
  const absl::Duration limit =
      std::max(settings_.stall, kLongestStepsAllowed * signs.longest_recent_step);
  if (quiet < limit) return absl::OkStatus();
  return absl::UnavailableError(absl::StrCat("model ", name_, ": no step has ended for ",
                                             absl::ToInt64Seconds(quiet), " seconds"));
}

absl::Status ModelHealth::JudgeLine(const EngineSigns& signs) const {
  const double share = settings_.ready_queue_fraction * (ready_.ok() ? 1 : kReadyAgainShare);
  const double limit = std::max(share * signs.max_waiting_requests, 1.0);
  if (signs.waiting_requests < limit) return absl::OkStatus();
  return absl::UnavailableError(absl::StrCat("model ", name_, ": ", signs.waiting_requests, " of ",
                                             signs.max_waiting_requests,
                                             " requests that may wait are waiting"));
}

}  // namespace hocket
