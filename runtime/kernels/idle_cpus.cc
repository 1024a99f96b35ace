#include "runtime/kernels/idle_cpus.h"

#include <fcntl.h>
#include <sched.h>
#include <unistd.h>

#include <cinttypes>
#include <cstdio>
#include <cstring>
#include <utility>

namespace hocket {
namespace {
// Of a line of one CPU, with ten numbers of up to twelve digits.
constexpr size_t kLineBytes = 160;
}  // namespace

IdleCpus::IdleCpus() : file_(open("/proc/stat", O_RDONLY | O_CLOEXEC)) {
  cpu_set_t allowed;
  CPU_ZERO(&allowed);
  if (file_ < 0 || sched_getaffinity(0, sizeof(allowed), &allowed) != 0) return;
  for (int cpu = 0; cpu < CPU_SETSIZE; ++cpu) {
    if (!CPU_ISSET(cpu, &allowed)) continue;
    counted_.resize(cpu + 1);
    counted_[cpu] = true;
  }
  // The CPUs' lines come first, after one that adds them up; the rest is not needed.
  text_.resize((counted_.size() + 2) * kLineBytes);
  idle_ns_ = Read().value_or(0);
}

IdleCpus::~IdleCpus() {
  if (file_ >= 0) close(file_);
}

std::optional<int64_t> IdleCpus::Take() {
  const std::optional<int64_t> idle_ns = Read();
  if (!idle_ns.has_value()) return std::nullopt;
  return *idle_ns - std::exchange(idle_ns_, *idle_ns);
}

// "cpu3 USER NICE SYSTEM IDLE IOWAIT ...", in clock ticks.
std::optional<int64_t> IdleCpus::Read() {
  if (text_.empty()) return std::nullopt;
  const ssize_t size = pread(file_, text_.data(), text_.size() - 1, 0);
  if (size <= 0) return std::nullopt;
  text_[size] = '\0';
  int64_t ticks = 0;
  bool found = false;
  for (char* line = text_.data(); line != nullptr;) {
    char* const end = std::strchr(line, '\n');
    if (end != nullptr) *end = '\0';
    unsigned cpu = 0;
    int64_t idle = 0;
    int64_t io_wait = 0;
    if (std::sscanf(line, "cpu%u %*d %*d %*d %" SCNd64 " %" SCNd64, &cpu, &idle, &io_wait) == 3 &&
        cpu < counted_.size() && counted_[cpu]) {
      ticks += idle + io_wait;
      found = true;
    }
    line = end == nullptr ? nullptr : end + 1;
  }
  if (!found) return std::nullopt;
  return ticks * (1'000'000'000 / sysconf(_SC_CLK_TCK));
}

}  // namespace hocket
