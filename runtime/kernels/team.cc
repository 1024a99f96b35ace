#include "runtime/kernels/team.h"

#include <utility>

#include "hwy/cache_control.h"

namespace hocket {
namespace {
// How long a member spins before it sleeps, in pauses of some 15 ns. Phases of a step end close
// together when the machine is quiet; when a neighbour has taken a core, spinning only takes the
// other one too.
constexpr int kSpins = 2000;

// Between two looks at what the system says of the members.
constexpr int64_t kLookNs = 10'000'000;
// The same of the CPUs, while a member is missing.
constexpr int64_t kLookForRoomNs = 100'000'000;

int64_t Nanoseconds(std::chrono::steady_clock::duration duration) {
  return std::chrono::duration_cast<std::chrono::nanoseconds>(duration).count();
}
}  // namespace

void TeamMember::Barrier() {
  if (count_ == 1) return;
  const int32_t generation = team_.generation_.load(std::memory_order_relaxed);
  if (team_.arrived_.fetch_add(1, std::memory_order_acq_rel) == count_ - 1) {
    team_.arrived_.store(0, std::memory_order_relaxed);
    team_.generation_.store(generation + 1, std::memory_order_release);
    team_.generation_.notify_all();
    return;
  }
  for (int spin = 0; spin < kSpins; ++spin) {
    if (team_.generation_.load(std::memory_order_acquire) != generation) return;
    hwy::Pause();
  }
  team_.generation_.wait(generation, std::memory_order_acquire);
}

void Team::Observe(std::chrono::steady_clock::time_point begin) {
  const auto end = std::chrono::steady_clock::now();
  const int64_t now_ns = Nanoseconds(end.time_since_epoch());
  running_ns_ += Nanoseconds(end - begin);
  if (threads_ == 1 || now_ns - observed_ns_ < kLookNs) return;
  crowding_.Observe(now_ns, std::exchange(running_ns_, 0), run_delay_.Take().value_or(0));
  observed_ns_ = now_ns;
  if (members() == threads_ || now_ns - idle_seen_ns_ < kLookForRoomNs) return;
  crowding_.ObserveIdle(now_ns, idle_cpus_.Take());
  idle_seen_ns_ = now_ns;
}

int64_t TeamMember::Claim(int64_t n) {
  uint64_t claims = team_.claims_.load(std::memory_order_relaxed);
  for (;;) {
    const uint32_t phase = static_cast<uint32_t>(claims >> 32);
    // Signed distance, so that the count may wrap around.
    const int32_t ahead = static_cast<int32_t>(phase - phase_);
    if (ahead > 0) return -1;  // Others have gone on: nothing was left of this phase.
    const int64_t next = ahead < 0 ? 0 : static_cast<int64_t>(claims & 0xffffffffu);
    if (next >= n) return -1;
    const uint64_t claimed = uint64_t{phase_} << 32 | static_cast<uint64_t>(next + 1);
    if (team_.claims_.compare_exchange_weak(claims, claimed, std::memory_order_relaxed)) {
      return next;
    }
  }
}

}  // namespace hocket
