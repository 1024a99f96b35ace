#include "runtime/kernels/run_delay.h"

#include <fcntl.h>
#include <unistd.h>

#include <cinttypes>
#include <cstdio>

namespace hocket {

RunDelay::~RunDelay() {
  for (const Member& member : members_) {
    if (member.file >= 0) close(member.file);
  }
}

// "RUNNING WAITING SLICES", nanoseconds and a count.
std::optional<int64_t> RunDelay::Read(int file) {
  char text[96];
  const ssize_t size = file < 0 ? -1 : pread(file, text, sizeof(text) - 1, 0);
  if (size <= 0) return std::nullopt;
  text[size] = '\0';
  int64_t waited_ns = 0;
  if (std::sscanf(text, "%*d %" SCNd64, &waited_ns) != 1) return std::nullopt;
  return waited_ns;
}

void RunDelay::Enter(int32_t index) {
  static thread_local const pid_t thread = gettid();
  Member& member = members_[index];
  if (member.thread == thread) return;
  if (member.file >= 0) close(member.file);
  char path[64];
  std::snprintf(path, sizeof(path), "/proc/self/task/%d/schedstat", thread);
  member.thread = thread;
  member.file = open(path, O_RDONLY | O_CLOEXEC);
  member.waited_ns = Read(member.file).value_or(0);
}

std::optional<int64_t> RunDelay::Take() {
  std::optional<int64_t> sum;
  for (Member& member : members_) {
    const std::optional<int64_t> waited_ns = Read(member.file);
    if (!waited_ns.has_value()) continue;
    sum = sum.value_or(0) + (*waited_ns - member.waited_ns);
    member.waited_ns = *waited_ns;
  }
  return sum;
}

}  // namespace hocket
