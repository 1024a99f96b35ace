#include "runtime/kernels/crowding.h"

#include <algorithm>

namespace hocket {
namespace {

// Quiet steps wait a tenth of the time or less; a neighbour on one of two CPUs makes it half or
// more.
constexpr double kCrowded = 0.35;
// What waiting is averaged over. Longer than a scheduler's slice, so that one bad moment is no
// sign.
constexpr double kWindowNs = 60e6;
// Before one more member is tried again: short at first, longer while it goes wrong.
constexpr int64_t kShortestPauseNs = 50'000'000;
// Without trouble for this long, trouble is new.
constexpr int64_t kLongEnoughNs = 500'000'000;
constexpr int64_t kLongestPauseNs = 1'000'000'000;

}  // namespace

void Crowding::Observe(int64_t now_ns, int64_t elapsed_ns, int64_t waited_ns) {
  if (members_ > 1 && elapsed_ns > 0) {
    const double share =
        static_cast<double>(waited_ns) / (static_cast<double>(elapsed_ns) * (members_ - 1));
    const double weight = std::min(1.0, static_cast<double>(elapsed_ns) / kWindowNs);
    waiting_ += (share - waiting_) * weight;
    if (waiting_ > kCrowded) {
      // Went well for long: a new neighbour. Else the old one is still there.
      const bool went_well = now_ns - change_at_ns_ > kLongEnoughNs;
      pause_ns_ = went_well ? kShortestPauseNs
                            : std::clamp(2 * pause_ns_, kShortestPauseNs, kLongestPauseNs);
      --members_;
      waiting_ = 0;
      change_at_ns_ = now_ns;
      return;
    }
  }
  if (members_ < threads_ && now_ns - change_at_ns_ >= pause_ns_) {
    ++members_;
    waiting_ = 0;
    change_at_ns_ = now_ns;
  }
}

}  // namespace hocket
