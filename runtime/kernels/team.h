// The threads that compute a step together. A step is one parallel region: every member runs the
// same code, takes its share of each phase, and meets the others at a barrier where a phase needs
// what another member made. Owned by the decoder; Run is called by one thread at a time.
#ifndef HOCKET_RUNTIME_KERNELS_TEAM_H_
#define HOCKET_RUNTIME_KERNELS_TEAM_H_

#include <omp.h>

#include <algorithm>
#include <atomic>
#include <chrono>
#include <cstdint>

#include "runtime/kernels/crowding.h"
#include "runtime/kernels/idle_cpus.h"
#include "runtime/kernels/run_delay.h"

namespace hocket {

struct IndexRange {
  int64_t begin = 0;
  int64_t end = 0;
  int64_t size() const { return end - begin; }
};

class Team;

// One thread's place in a running step.
class TeamMember {
 public:
  int32_t index() const { return index_; }
  int32_t count() const { return count_; }

  // Returns when all members have called it; what they wrote before is then visible to all.
  void Barrier();

  // This member's part of [0, n), in multiples of `step`: contiguous, and the same in every call.
  IndexRange Share(int64_t n, int64_t step = 1) const {
    const int64_t pieces = (n + step - 1) / step;
    return {std::min(n, pieces * index_ / count_ * step),
            std::min(n, pieces * (index_ + 1) / count_ * step)};
  }

  // Calls f(i) for each i in [0, n), each on the member that comes first. Every member calls this;
  // it returns when nothing is left to begin, which may be before the others have finished.
  template <class F>
  void ForEach(int64_t n, F&& f) {
    ++phase_;
    for (int64_t i = Claim(n); i >= 0; i = Claim(n)) f(i);
  }

 private:
  friend class Team;
  TeamMember(Team& team, int32_t index, int32_t count, uint32_t phase)
      : team_(team), index_(index), count_(count), phase_(phase) {}
  int64_t Claim(int64_t n);  // -1 when all are taken.

  Team& team_;
  const int32_t index_;
  const int32_t count_;
  uint32_t phase_;  // Counts the calls of ForEach, alike on every member.
};

class Team {
 public:
  explicit Team(int32_t threads) : threads_(threads), crowding_(threads), run_delay_(threads) {}
  int32_t threads() const { return threads_; }

  // Threads of the next run: fewer than all while other processes hold their CPUs.
  int32_t members() const { return crowding_.members(); }

  // Runs f(member) on members() threads, the caller's among them, and returns when all have. What f
  // computes may not depend on how many they are.
  template <class F>
  void Run(F&& f) {
    const auto begin = std::chrono::steady_clock::now();
    claims_.store(0, std::memory_order_relaxed);
    if (members() == 1) {
      run_delay_.Enter(0);
      TeamMember member(*this, 0, 1, 0);
      f(member);
    } else {
#pragma omp parallel num_threads(members())
      {
        run_delay_.Enter(omp_get_thread_num());
        TeamMember member(*this, omp_get_thread_num(), omp_get_num_threads(), 0);
        f(member);
      }
    }
    Observe(begin);
  }

 private:
  friend class TeamMember;

  void Observe(std::chrono::steady_clock::time_point begin);

  const int32_t threads_;
  Crowding crowding_;
  RunDelay run_delay_;
  IdleCpus idle_cpus_;
  int64_t observed_ns_ = 0;   // When run_delay_ was last read,
  int64_t running_ns_ = 0;    // and how long runs have taken since.
  int64_t idle_seen_ns_ = 0;  // When idle_cpus_ was last read.
  alignas(64) std::atomic<int32_t> arrived_{0};
  alignas(64) std::atomic<int32_t> generation_{0};
  // The running ForEach's number in the upper half, the next index in the lower.
  alignas(64) std::atomic<uint64_t> claims_{0};
};

}  // namespace hocket

#endif  // HOCKET_RUNTIME_KERNELS_TEAM_H_
