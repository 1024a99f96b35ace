// What to think of one model's engine: whether it makes progress, and whether it should be sent
// more. Fed with signs by whoever has a clock; not thread-safe.
#ifndef HOCKET_SERVICE_MODEL_HEALTH_H_
#define HOCKET_SERVICE_MODEL_HEALTH_H_

#include <cstdint>
#include <optional>
#include <string>

#include "absl/status/status.h"
#include "absl/time/time.h"

namespace hocket {

struct HealthSettings {
  // An engine that has work and ends no step for so long is stalled.
  absl::Duration stall = absl::Seconds(60);
  // A waiting line of this share of its limit makes a server unready...
  double ready_queue_fraction = 0.9;

  absl::Status Validate() const;
};

// ... until it is down to this share of that.
inline constexpr double kReadyAgainShare = 0.75;

// A step may take as long as so many of the longest of late before it counts as stalled.
inline constexpr int kLongestStepsAllowed = 4;

struct EngineSigns {
  bool working = false;      // Some request waits or runs.
  absl::Time last_progress;  // Only compared with the one before, so its clock may jump.
  absl::Duration longest_recent_step;
  int32_t waiting_requests = 0;
  int32_t max_waiting_requests = 0;
};

class ModelHealth {
 public:
  // `name` is for messages.
  ModelHealth(std::string name, const HealthSettings& settings)
      : name_(std::move(name)), settings_(settings) {}

  // `now` must not go back.
  void Judge(const EngineSigns& signs, absl::Time now);

  // UNAVAILABLE with the reason otherwise. Whoever is not live is not ready.
  const absl::Status& live() const { return live_; }
  const absl::Status& ready() const { return live_.ok() ? ready_ : live_; }

  const std::string& name() const { return name_; }

 private:
  absl::Status JudgeProgress(const EngineSigns& signs, absl::Time now);
  absl::Status JudgeLine(const EngineSigns& signs) const;

  const std::string name_;
  const HealthSettings settings_;
  std::optional<absl::Time> last_progress_;
  absl::Time quiet_since_;
  absl::Status live_;
  absl::Status ready_;
};

}  // namespace hocket

#endif  // HOCKET_SERVICE_MODEL_HEALTH_H_
