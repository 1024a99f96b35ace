#include "runtime/kernels/crowding.h"

#include <algorithm>

namespace hocket {
namespace {

// Half of the time or more beside a neighbour on one of two CPUs.
constexpr double kCrowded = 0.3;
// What waiting is averaged over. Longer than a scheduler's slice, so that one bad moment is no
// sign.
constexpr double kWindowNs = 60e6;
// A neighbour that was there a moment ago is believed sooner.
constexpr double kSuspiciousWindowNs = 30e6;
// Before one more member is tried again: short at first, longer while it goes wrong. Each trial
// beside a neighbour that stayed costs about a window.
constexpr int64_t kShortestPauseNs = 50'000'000;
constexpr int64_t kPauseGrowth = 4;
// Without trouble for this long, trouble is new.
constexpr int64_t kLongEnoughNs = 500'000'000;
constexpr int64_t kLongestPauseNs = 2'000'000'000;

}  // namespace

void Crowding::Observe(int64_t now_ns, int64_t elapsed_ns, int64_t delayed_ns) {
  if (members_ > 1 && elapsed_ns > 0) {
    const double share =
        std::min(1.0, static_cast<double>(delayed_ns) / static_cast<double>(elapsed_ns));
    // Went well for long: trouble is a new neighbour's. Else the old one is still there.
    const bool went_well = pause_ns_ == 0 || now_ns - change_at_ns_ > kLongEnoughNs;
    const double window = went_well ? kWindowNs : kSuspiciousWindowNs;
    delayed_ += (share - delayed_) * std::min(1.0, static_cast<double>(elapsed_ns) / window);
    if (delayed_ > kCrowded) {
      pause_ns_ = went_well
                      ? kShortestPauseNs
                      : std::clamp(kPauseGrowth * pause_ns_, kShortestPauseNs, kLongestPauseNs);
      --members_;
      delayed_ = 0;
      change_at_ns_ = now_ns;
      return;
    }
  }
  if (members_ < threads_ && now_ns - change_at_ns_ >= pause_ns_) {
    ++members_;
    delayed_ = 0;
    change_at_ns_ = now_ns;
  }
}

}  // namespace hocket
