// What this process may use of the machine: processors by affinity and cgroup quota, memory by the
// kernel's estimate and the cgroup's limit. Reads /proc and /sys once per call; any thread.
#ifndef HOCKET_RUNTIME_MACHINE_H_
#define HOCKET_RUNTIME_MACHINE_H_

#include <cstdint>
#include <optional>
#include <string>

namespace hocket {

// `root` is put before /proc and /sys; tests give a folder of their own.
// Processors that the cgroup's quota amounts to (v1 or v2), nothing where there is none.
std::optional<double> CgroupProcessors(const std::string& root = "");

// Bytes that can still be allocated without swapping or hitting the cgroup's limit (v1 or v2).
int64_t AvailableMemoryBytes(const std::string& root = "");

// Memory of this process that is resident now.
int64_t ProcessResidentBytes();

// What of the program's own files was resident at the first call, in the first model's load: its
// cgroup counts that among the cached files, but it cannot be had.
int64_t ProgramBytes();

// Threads worth running: the affinity mask's size, at most the quota rounded up; at least 1.
int32_t AvailableThreads();

}  // namespace hocket

#endif  // HOCKET_RUNTIME_MACHINE_H_
