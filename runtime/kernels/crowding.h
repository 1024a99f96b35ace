// How many threads of a team are worth using while other processes want the same CPUs. A member
// that is taken off its CPU keeps the others waiting at the next barrier for a scheduler's slice,
// thousands of barriers' worth; one thread fewer, and the system finds a CPU for each. What counts
// is the time that members are ready to run and have no CPU: beside a neighbour that takes one CPU
// of two, half of the time or more, and beside this process's own small threads a tenth. Owned by
// the team; plain arithmetic on times it is given.
#ifndef HOCKET_RUNTIME_KERNELS_CROWDING_H_
#define HOCKET_RUNTIME_KERNELS_CROWDING_H_

#include <cstdint>

namespace hocket {

class Crowding {
 public:
  explicit Crowding(int32_t threads) : threads_(threads), members_(threads) {}

  // Of the next run: 1 to the number of threads.
  int32_t members() const { return members_; }

  // Runs of members() took elapsed_ns until `now_ns`, and meanwhile the members waited for a CPU
  // for delayed_ns, added up.
  void Observe(int64_t now_ns, int64_t elapsed_ns, int64_t delayed_ns);

 private:
  const int32_t threads_;
  int32_t members_;
  double delayed_ = 0;        // Share of the time that some member had no CPU, of late.
  int64_t change_at_ns_ = 0;  // When members_ last changed.
  int64_t pause_ns_ = 0;      // From a member fewer to trying one more.
};

}  // namespace hocket

#endif  // HOCKET_RUNTIME_KERNELS_CROWDING_H_
