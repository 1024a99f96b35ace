// Gives back to the system the memory that the allocator keeps after it was freed. Buffers of
// connections come and go on many threads, and without this a burst of them is kept for good. One
// thread calls it, from time to time.
#ifndef HOCKET_SERVICE_HEAP_TRIM_H_
#define HOCKET_SERVICE_HEAP_TRIM_H_

#include "absl/time/time.h"

namespace hocket {

class HeapTrim {
 public:
  // Looks whether so much is kept that it pays. Takes tens of milliseconds when it does, in which
  // other threads may have to wait for memory; so at most every few seconds.
  void Look(absl::Time now);

 private:
  absl::Time next_ = absl::InfinitePast();
};

}  // namespace hocket

#endif  // HOCKET_SERVICE_HEAP_TRIM_H_
