// How long threads were ready to run and had no CPU, as the system counts it: what other processes
// take from a team shows here and nowhere else (a wait at a barrier may as well be for a member
// that works). One for a team.
#ifndef HOCKET_RUNTIME_KERNELS_RUN_DELAY_H_
#define HOCKET_RUNTIME_KERNELS_RUN_DELAY_H_

#include <sys/types.h>

#include <cstdint>
#include <optional>
#include <vector>

namespace hocket {

class RunDelay {
 public:
  explicit RunDelay(int32_t members) : members_(members) {}
  ~RunDelay();
  RunDelay(const RunDelay&) = delete;
  RunDelay& operator=(const RunDelay&) = delete;

  // The calling thread is member `index` from now on. Cheap when it was before.
  void Enter(int32_t index);

  // Nanoseconds that the members waited for a CPU since the last call, added up; none where the
  // system does not count them. While no member is in Enter.
  std::optional<int64_t> Take();

 private:
  struct Member {
    pid_t thread = 0;
    int file = -1;  // The thread's schedstat.
    int64_t waited_ns = 0;
  };
  static std::optional<int64_t> Read(int file);

  std::vector<Member> members_;
};

}  // namespace hocket

#endif  // HOCKET_RUNTIME_KERNELS_RUN_DELAY_H_
