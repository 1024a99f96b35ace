#include "service/process_metrics.h"

#include <sys/resource.h>
#include <unistd.h>

#include <cstdint>
#include <filesystem>
#include <fstream>
#include <optional>
#include <sstream>
#include <string>
#include <system_error>

namespace hocket {
namespace {

// Of /proc/self/stat, see proc(5).
struct ProcessStat {
  int64_t threads = 0;
  int64_t start_ticks = 0;  // Since the machine started.
  int64_t virtual_bytes = 0;
  int64_t resident_pages = 0;
};

std::optional<ProcessStat> ReadProcessStat() {
  std::ifstream file("/proc/self/stat");
  std::string line;
  if (!std::getline(file, line)) return std::nullopt;
  // The program's name is in parentheses and may itself have some and spaces.
  const size_t name_end = line.rfind(')');
  if (name_end == std::string::npos) return std::nullopt;
  std::istringstream fields(line.substr(name_end + 1));
  constexpr int kThreadsField = 20;
  std::string skipped;
  for (int field = 3; field < kThreadsField; ++field) fields >> skipped;
  ProcessStat stat;
  fields >> stat.threads >> skipped >> stat.start_ticks >> stat.virtual_bytes >>
      stat.resident_pages;
  if (!fields) return std::nullopt;
  return stat;
}

std::optional<int64_t> MachineStartSeconds() {
  std::ifstream file("/proc/stat");
  for (std::string line; std::getline(file, line);) {
    std::istringstream fields(line);
    std::string name;
    int64_t seconds = 0;
    if (fields >> name && name == "btime" && fields >> seconds) return seconds;
  }
  return std::nullopt;
}

std::optional<int64_t> OpenDescriptors() {
  std::error_code error;
  const std::filesystem::directory_iterator open("/proc/self/fd", error);
  if (error) return std::nullopt;
  // One of them is the iterator's own.
  return std::distance(begin(open), end(open)) - 1;
}

prometheus::MetricFamily Family(prometheus::MetricType type, const char* name, const char* help,
                                double value) {
  prometheus::MetricFamily family;
  family.name = name;
  family.help = help;
  family.type = type;
  family.metric.emplace_back();
  (type == prometheus::MetricType::Counter ? family.metric[0].counter.value
                                           : family.metric[0].gauge.value) = value;
  return family;
}

}  // namespace

absl::Duration ProcessCpuTime() {
  rusage usage{};
  if (getrusage(RUSAGE_SELF, &usage) != 0) return absl::ZeroDuration();
  return absl::DurationFromTimeval(usage.ru_utime) + absl::DurationFromTimeval(usage.ru_stime);
}

std::vector<prometheus::MetricFamily> ProcessMetrics::Collect() const {
  std::vector<prometheus::MetricFamily> families;
  const auto add_gauge = [&families](const char* name, const char* help, double value) {
    families.push_back(Family(prometheus::MetricType::Gauge, name, help, value));
  };
  families.push_back(Family(prometheus::MetricType::Counter, "process_cpu_seconds_total",
                            "Processor time used, of all threads.",
                            absl::ToDoubleSeconds(ProcessCpuTime())));
  if (const std::optional<ProcessStat> stat = ReadProcessStat()) {
    add_gauge("process_resident_memory_bytes", "Memory that is resident.",
              static_cast<double>(stat->resident_pages * sysconf(_SC_PAGESIZE)));
    add_gauge("process_virtual_memory_bytes", "Address space in use.",
              static_cast<double>(stat->virtual_bytes));
    add_gauge("process_threads", "Threads.", static_cast<double>(stat->threads));
    if (const std::optional<int64_t> start = MachineStartSeconds()) {
      add_gauge("process_start_time_seconds", "When the process started, since the epoch.",
                static_cast<double>(*start) + static_cast<double>(stat->start_ticks) /
                                                  static_cast<double>(sysconf(_SC_CLK_TCK)));
    }
  }
  if (const std::optional<int64_t> open = OpenDescriptors()) {
    add_gauge("process_open_fds", "File descriptors in use.", static_cast<double>(*open));
  }
  rlimit limit{};
  if (getrlimit(RLIMIT_NOFILE, &limit) == 0) {
    add_gauge("process_max_fds", "File descriptors that may be in use.",
              static_cast<double>(limit.rlim_cur));
  }
  return families;
}

}  // namespace hocket
