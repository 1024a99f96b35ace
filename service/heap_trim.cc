#include "service/heap_trim.h"

#include <malloc.h>

namespace hocket {
namespace {

constexpr size_t kWorthwhileBytes = 128 << 20;
constexpr absl::Duration kPause = absl::Seconds(5);

}  // namespace

void HeapTrim::Look(absl::Time now) {
  if (now < next_) return;
  next_ = now + kPause;
#ifdef __GLIBC__
  if (mallinfo2().fordblks > kWorthwhileBytes) malloc_trim(0);
#endif
}

}  // namespace hocket
