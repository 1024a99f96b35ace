// Stops the process when the scheduler's own bookkeeping is wrong: going on would mix two requests'
// keys and values. For the core's invariants only; whatever an executor or a client can cause is an
// absl::Status.
#ifndef HOCKET_SCHEDULER_INVARIANT_H_
#define HOCKET_SCHEDULER_INVARIANT_H_

#include <cstdio>
#include <cstdlib>
#include <source_location>

namespace hocket {

inline void Invariant(bool holds, const char* promise,
                      std::source_location where = std::source_location::current()) {
  if (holds) [[likely]]
    return;
  std::fprintf(stderr, "%s:%u: broken invariant: %s\n", where.file_name(),
               static_cast<unsigned>(where.line()), promise);
  std::abort();
}

}  // namespace hocket

#endif  // HOCKET_SCHEDULER_INVARIANT_H_
