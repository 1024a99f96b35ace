// How many threads of a team are worth using while other processes want the same CPUs. A member
// that is taken off its CPU keeps the others waiting at the next barrier for a scheduler's slice,
// thousands of barriers' worth; one thread fewer, and the system finds a CPU for each. A member
// goes when members are ready to run and have no CPU for much of the time, and comes back when a
// CPU stands idle: then it has one to go to, without a trial at everyone's cost. Owned by the team;
// plain arithmetic on times it is given.
#ifndef HOCKET_RUNTIME_KERNELS_CROWDING_H_
#define HOCKET_RUNTIME_KERNELS_CROWDING_H_

#include <cstdint>
#include <optional>

namespace hocket {

class Crowding {
 public:
  explicit Crowding(int32_t threads) : threads_(threads), members_(threads) {}

  // Of the next run: 1 to the number of threads.
  int32_t members() const { return members_; }

  // Runs of members() took elapsed_ns since the last call, and meanwhile the members waited for a
  // CPU for delayed_ns, added up.
  void Observe(int64_t now_ns, int64_t elapsed_ns, int64_t delayed_ns);

  // Since the last call the CPUs that the members may use were idle for idle_ns, added up; none
  // where the system does not say. To be called now and then while members() is below the threads.
  void ObserveIdle(int64_t now_ns, std::optional<int64_t> idle_ns);

 private:
  void Change(int32_t by, int64_t now_ns);

  const int32_t threads_;
  int32_t members_;
  double delayed_ = 0;                   // Share of the time that some member had no CPU, of late.
  int64_t change_at_ns_ = 0;             // When members_ last changed.
  std::optional<int64_t> idle_seen_ns_;  // The last ObserveIdle since then,
  int64_t running_ns_ = 0;               // and how long runs have taken since.
};

}  // namespace hocket

#endif  // HOCKET_RUNTIME_KERNELS_CROWDING_H_
