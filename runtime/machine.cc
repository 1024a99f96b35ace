#include "runtime/machine.h"

#include <sched.h>
#include <unistd.h>

#include <algorithm>
#include <cmath>
#include <fstream>
#include <limits>
#include <sstream>
#include <vector>

#include "absl/strings/numbers.h"
#include "absl/strings/str_split.h"

namespace hocket {
namespace {

// The first line of a file, or nothing.
std::optional<std::string> FirstLine(const std::string& path) {
  std::ifstream file(path);
  std::string line;
  if (!std::getline(file, line)) return std::nullopt;
  return line;
}

std::optional<int64_t> ReadInteger(const std::string& path) {
  const auto line = FirstLine(path);
  int64_t value = 0;
  if (!line || !absl::SimpleAtoi(*line, &value)) return std::nullopt;
  return value;
}

// Folders of a controller ("" for v2), from the process's own cgroup up to the mounted root. In a
// container the path of /proc/self/cgroup may not exist below the mount; the root always does.
std::vector<std::string> CgroupFolders(const std::string& root, const std::string& controller) {
  std::string path;
  std::ifstream file(root + "/proc/self/cgroup");
  for (std::string line; std::getline(file, line);) {
    const std::vector<std::string> parts = absl::StrSplit(line, absl::MaxSplits(':', 2));
    if (parts.size() != 3) continue;
    const std::vector<std::string> controllers = absl::StrSplit(parts[1], ',');
    if (std::find(controllers.begin(), controllers.end(), controller) != controllers.end()) {
      path = parts[2];
    }
  }
  const std::string mount = root + "/sys/fs/cgroup" + (controller.empty() ? "" : "/" + controller);
  std::vector<std::string> folders;
  while (!path.empty() && path != "/") {
    folders.push_back(mount + path);
    path.resize(path.find_last_of('/'));
  }
  folders.push_back(mount);
  return folders;
}

std::optional<double> QuotaOfV2(const std::string& folder) {
  const auto line = FirstLine(folder + "/cpu.max");
  if (!line) return std::nullopt;
  std::istringstream fields(*line);
  double quota = 0, period = 0;
  if (!(fields >> quota >> period) || period <= 0) return std::nullopt;  // "max" is no number.
  return quota / period;
}

std::optional<double> QuotaOfV1(const std::string& folder) {
  const auto quota = ReadInteger(folder + "/cpu.cfs_quota_us");
  const auto period = ReadInteger(folder + "/cpu.cfs_period_us");
  if (!quota || !period || *quota <= 0 || *period <= 0) return std::nullopt;
  return static_cast<double>(*quota) / static_cast<double>(*period);
}

// Cached file contents that a cgroup is charged for. A model's folder that was just read is among
// them, and the kernel gives them up before it refuses memory.
int64_t CachedBytes(const std::string& folder, const std::string& prefix) {
  std::ifstream file(folder + "/memory.stat");
  int64_t sum = 0;
  for (std::string line; std::getline(file, line);) {
    std::istringstream fields(line);
    std::string name;
    int64_t bytes = 0;
    if (!(fields >> name >> bytes)) continue;
    if (name == prefix + "active_file" || name == prefix + "inactive_file") sum += bytes;
  }
  return sum;
}

struct MemoryFiles {
  const char* limit;
  const char* usage;
  const char* cached_prefix;  // Of the entries of memory.stat that count all levels below too.
};

int64_t LimitLeft(const std::string& folder, const MemoryFiles& files) {
  const auto limit = ReadInteger(folder + "/" + files.limit);
  if (!limit) return std::numeric_limits<int64_t>::max();
  const int64_t usage = ReadInteger(folder + "/" + files.usage).value_or(0);
  const int64_t held = std::max<int64_t>(0, usage - CachedBytes(folder, files.cached_prefix));
  return std::max<int64_t>(0, *limit - held);
}

int64_t KernelEstimate(const std::string& root) {
  std::ifstream file(root + "/proc/meminfo");
  for (std::string line; std::getline(file, line);) {
    std::istringstream fields(line);
    std::string name;
    int64_t kibibytes = 0;
    if (fields >> name >> kibibytes && name == "MemAvailable:") return kibibytes * 1024;
  }
  return int64_t{1} << 30;
}

// Bytes of this process; 0 where the system does not say.
struct ProcessMemory {
  int64_t resident = 0;
  int64_t of_files = 0;  // Of those, what files hold too.
};

ProcessMemory ReadProcessMemory() {
  std::ifstream file("/proc/self/statm");
  int64_t size_pages = 0, resident_pages = 0, file_pages = 0;
  if (!(file >> size_pages >> resident_pages >> file_pages)) return {};
  const int64_t page = sysconf(_SC_PAGESIZE);
  return {resident_pages * page, file_pages * page};
}

}  // namespace

std::optional<double> CgroupProcessors(const std::string& root) {
  std::optional<double> least;
  const auto consider = [&least](std::optional<double> quota) {
    if (quota && (!least || *quota < *least)) least = quota;
  };
  for (const std::string& folder : CgroupFolders(root, "")) consider(QuotaOfV2(folder));
  for (const std::string& folder : CgroupFolders(root, "cpu")) consider(QuotaOfV1(folder));
  return least;
}

int64_t AvailableMemoryBytes(const std::string& root) {
  int64_t bytes = KernelEstimate(root);
  for (const std::string& folder : CgroupFolders(root, "")) {
    bytes = std::min(bytes, LimitLeft(folder, {"memory.max", "memory.current", ""}));
  }
  for (const std::string& folder : CgroupFolders(root, "memory")) {
    bytes = std::min(
        bytes, LimitLeft(folder, {"memory.limit_in_bytes", "memory.usage_in_bytes", "total_"}));
  }
  return bytes;
}

int64_t ProcessResidentBytes() { return ReadProcessMemory().resident; }

int64_t ProgramBytes() {
  static const int64_t bytes = ReadProcessMemory().of_files;
  return bytes;
}

int32_t AvailableThreads() {
  cpu_set_t mask;
  CPU_ZERO(&mask);
  int32_t threads = sched_getaffinity(0, sizeof(mask), &mask) == 0 ? CPU_COUNT(&mask) : 1;
  if (const auto quota = CgroupProcessors()) {
    threads = std::min(threads, static_cast<int32_t>(std::ceil(*quota)));
  }
  return std::max(threads, 1);
}

}  // namespace hocket
