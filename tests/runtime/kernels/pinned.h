#ifndef HOCKET_TESTS_RUNTIME_KERNELS_PINNED_H_
#define HOCKET_TESTS_RUNTIME_KERNELS_PINNED_H_

#include <sched.h>

namespace hocket {

// Keeps the calling thread on its present CPU while this lives.
class Pinned {
 public:
  Pinned() {
    sched_getaffinity(0, sizeof(before_), &before_);
    cpu_set_t one;
    CPU_ZERO(&one);
    CPU_SET(sched_getcpu(), &one);
    sched_setaffinity(0, sizeof(one), &one);
  }
  ~Pinned() { sched_setaffinity(0, sizeof(before_), &before_); }

 private:
  cpu_set_t before_;
};

}  // namespace hocket

#endif  // HOCKET_TESTS_RUNTIME_KERNELS_PINNED_H_
