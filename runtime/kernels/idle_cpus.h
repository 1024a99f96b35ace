// How long CPUs stood idle, as the system counts it: whether there is room for one thread more. One
// for a team.
#ifndef HOCKET_RUNTIME_KERNELS_IDLE_CPUS_H_
#define HOCKET_RUNTIME_KERNELS_IDLE_CPUS_H_

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

namespace hocket {

class IdleCpus {
 public:
  IdleCpus();  // Of the CPUs that the calling thread may run on.
  ~IdleCpus();
  IdleCpus(const IdleCpus&) = delete;
  IdleCpus& operator=(const IdleCpus&) = delete;

  // Nanoseconds that they were idle since the last call, added up; none where the system does not
  // say. In steps of 10 ms a CPU; takes 20 us on a machine of 2 CPUs, and about 1 ms on one of
  // hundreds. Allocates nothing.
  std::optional<int64_t> Take();

 private:
  std::optional<int64_t> Read();

  int file_ = -1;              // /proc/stat.
  std::vector<bool> counted_;  // By the CPU's number.
  std::string text_;
  int64_t idle_ns_ = 0;
};

}  // namespace hocket

#endif  // HOCKET_RUNTIME_KERNELS_IDLE_CPUS_H_
