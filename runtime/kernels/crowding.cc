#include "runtime/kernels/crowding.h"

#include <algorithm>

namespace hocket {
namespace {

// Where a run of two members is no faster than one alone, which takes about 1.75 times as long on a
// CPU of its own. Beside a neighbour on one of two CPUs it is half of the time and more; beside
// this process's own small threads a tenth.
constexpr double kCrowded = 0.45;
// What waiting is averaged over: many slices of a scheduler, so that one bad moment is no sign.
constexpr double kWindowNs = 120e6;
// Idle CPUs that are room for one more member.
constexpr double kRoom = 0.5;
// Before one more is tried where the system does not say whether there is room.
constexpr int64_t kBlindPauseNs = 2'000'000'000;

}  // namespace

void Crowding::Observe(int64_t now_ns, int64_t elapsed_ns, int64_t delayed_ns) {
  running_ns_ += elapsed_ns;
  if (members_ == 1 || elapsed_ns <= 0) return;
  const double share =
      std::min(1.0, static_cast<double>(delayed_ns) / static_cast<double>(elapsed_ns));
  delayed_ += (share - delayed_) * std::min(1.0, static_cast<double>(elapsed_ns) / kWindowNs);
  if (delayed_ > kCrowded) Change(-1, now_ns);
}

void Crowding::ObserveIdle(int64_t now_ns, std::optional<int64_t> idle_ns) {
  if (members_ == threads_) return;
  if (!idle_ns.has_value()) {
    if (now_ns - change_at_ns_ >= kBlindPauseNs) Change(+1, now_ns);
    return;
  }
  if (idle_seen_ns_.has_value()) {
    const int64_t interval_ns = now_ns - *idle_seen_ns_;
    // Between runs the members' own CPUs stand idle, and that is no room.
    const int64_t own_ns = members_ * std::max<int64_t>(0, interval_ns - running_ns_);
    if (static_cast<double>(*idle_ns - own_ns) > kRoom * static_cast<double>(interval_ns)) {
      Change(+1, now_ns);
      return;
    }
  }
  idle_seen_ns_ = now_ns;
  running_ns_ = 0;
}

void Crowding::Change(int32_t by, int64_t now_ns) {
  members_ += by;
  delayed_ = 0;
  change_at_ns_ = now_ns;
  idle_seen_ns_.reset();
}

}  // namespace hocket
