// hocket_machine_probe: what this machine can do at best, to set beside what Hocket does. Memory
// reads over buffers of given sizes, dot products and multiply-adds out of registers, and what the
// team's barrier, its ForEach and a whole parallel region cost. Every figure is the best of several
// repetitions, on one thread and on as many as the process may have.
//
//   hocket_machine_probe [--threads N] [--megabytes 134,1200] [--repeats 5] [--format json]
#include <algorithm>
#include <chrono>
#include <cstdio>
#include <iostream>
#include <string>
#include <vector>

#include "CLI/CLI.hpp"
#include "nlohmann/json.hpp"
#include "runtime/kernels/aligned_buffer.h"
#include "runtime/kernels/team.h"
#include "runtime/machine.h"
#include "tests/bench/peak_loops.h"

namespace hocket {
namespace {

using Clock = std::chrono::steady_clock;

struct ProbeSettings {
  int32_t threads = AvailableThreads();
  std::vector<int64_t> megabytes = {134, 1200};  // 10^6 bytes each.
  int32_t repeats = 5;
  std::string format = "text";
};

// Seconds that the slowest member takes for work(member), the best of `repeats`.
template <class Work>
double BestSeconds(Team& team, int32_t repeats, Work&& work) {
  double best = 1e30;
  for (int32_t repeat = 0; repeat < repeats; ++repeat) {
    std::vector<double> seconds(team.threads());
    team.Run([&](TeamMember& member) {
      member.Barrier();
      const Clock::time_point start = Clock::now();
      work(member);
      seconds[member.index()] = std::chrono::duration<double>(Clock::now() - start).count();
    });
    best = std::min(best, *std::max_element(seconds.begin(), seconds.end()));
  }
  return best;
}

// One thread, and all of them where there are more.
std::vector<int32_t> ThreadCounts(int32_t threads) {
  return threads > 1 ? std::vector<int32_t>{1, threads} : std::vector<int32_t>{1};
}

absl::StatusOr<nlohmann::json> ProbeMemory(const ProbeSettings& settings) {
  constexpr int64_t kStep = 4096;
  nlohmann::json results = nlohmann::json::array();
  for (const int64_t megabytes : settings.megabytes) {
    const int64_t bytes = megabytes * 1000000 / kStep * kStep;
    absl::StatusOr<AlignedBuffer> buffer = AlignedBuffer::Allocate(bytes, "the memory probe");
    if (!buffer.ok()) return buffer.status();
    auto* data = buffer->As<std::byte>();
    {
      Team all(settings.threads);
      all.Run([&](TeamMember& member) {
        const IndexRange share = member.Share(bytes, kStep);
        std::fill(data + share.begin, data + share.end, std::byte{1});
      });
    }
    for (const int32_t threads : ThreadCounts(settings.threads)) {
      Team team(threads);
      std::atomic<uint64_t> folded{0};
      const double seconds = BestSeconds(team, settings.repeats, [&](TeamMember& member) {
        const IndexRange share = member.Share(bytes, kStep);
        folded ^= ReadBytes(data + share.begin, share.size());
      });
      results.push_back({{"megabytes", megabytes},
                         {"threads", threads},
                         {"gigabytes_per_second", static_cast<double>(bytes) / seconds / 1e9}});
    }
  }
  return results;
}

nlohmann::json ProbeArithmetic(const ProbeSettings& settings) {
  constexpr double kTargetSeconds = 0.05;
  constexpr int64_t kTrialRounds = 100000;
  nlohmann::json results = nlohmann::json::array();
  for (const PeakLoop& loop : PeakLoops()) {
    for (const int32_t threads : ThreadCounts(settings.threads)) {
      Team team(threads);
      const double trial =
          BestSeconds(team, 3, [&](TeamMember& /*member*/) { loop.run(kTrialRounds); });
      const auto rounds = static_cast<int64_t>(kTrialRounds * (kTargetSeconds / trial)) + 1;
      const double seconds =
          BestSeconds(team, settings.repeats, [&](TeamMember& /*member*/) { loop.run(rounds); });
      const double operations = static_cast<double>(loop.operations) * static_cast<double>(rounds);
      results.push_back({{"kind", loop.kind},
                         {"instructions", loop.name},
                         {"threads", threads},
                         {"tera_operations_per_second", operations * threads / seconds / 1e12}});
    }
  }
  return results;
}

nlohmann::json ProbeTeam(const ProbeSettings& settings) {
  constexpr int64_t kRounds = 20000, kClaims = 64;
  Team team(settings.threads);
  const double barrier = BestSeconds(team, settings.repeats, [](TeamMember& member) {
    for (int64_t i = 0; i < kRounds; ++i) member.Barrier();
  });
  const double for_each = BestSeconds(team, settings.repeats, [](TeamMember& member) {
    for (int64_t i = 0; i < kRounds / kClaims; ++i) member.ForEach(kClaims, [](int64_t) {});
  });
  double region = 1e30;
  for (int32_t repeat = 0; repeat < settings.repeats; ++repeat) {
    const Clock::time_point start = Clock::now();
    for (int64_t i = 0; i < kRounds; ++i) team.Run([](TeamMember& /*member*/) {});
    region = std::min(region, std::chrono::duration<double>(Clock::now() - start).count());
  }
  const double rounds = static_cast<double>(kRounds);
  return {{"threads", settings.threads},
          {"barrier_ns", barrier / rounds * 1e9},
          {"for_each_item_ns", for_each / rounds * 1e9},
          {"region_ns", region / rounds * 1e9}};
}

void PrintText(const nlohmann::json& result) {
  for (const auto& memory : result["memory_reads"]) {
    std::printf("read %5d MB, %2d threads  %8.1f GB/s\n", memory["megabytes"].get<int>(),
                memory["threads"].get<int>(), memory["gigabytes_per_second"].get<double>());
  }
  for (const auto& peak : result["arithmetic"]) {
    std::printf("%-5s %-24s %2d threads  %8.3f Tera-operations/s\n",
                peak["kind"].get<std::string>().c_str(),
                peak["instructions"].get<std::string>().c_str(), peak["threads"].get<int>(),
                peak["tera_operations_per_second"].get<double>());
  }
  const auto& team = result["team"];
  std::printf(
      "team of %d: barrier %.0f ns, an item of ForEach %.0f ns, a parallel region %.0f ns\n",
      team["threads"].get<int>(), team["barrier_ns"].get<double>(),
      team["for_each_item_ns"].get<double>(), team["region_ns"].get<double>());
}

int Probe(const ProbeSettings& settings) {
  absl::StatusOr<nlohmann::json> memory = ProbeMemory(settings);
  if (!memory.ok()) {
    std::cerr << "hocket_machine_probe: " << memory.status().message() << "\n";
    return 1;
  }
  const nlohmann::json result = {{"memory_reads", *memory},
                                 {"arithmetic", ProbeArithmetic(settings)},
                                 {"team", ProbeTeam(settings)}};
  if (settings.format == "json") {
    std::cout << result.dump() << "\n";
  } else {
    PrintText(result);
  }
  return 0;
}

}  // namespace
}  // namespace hocket

int main(int argc, char** argv) {
  hocket::ProbeSettings settings;
  CLI::App app("What this machine can do: memory reads, dot products, barriers");
  app.add_option("--threads", settings.threads, "Threads, beside one")->capture_default_str();
  app.add_option("--megabytes", settings.megabytes, "Sizes of the buffers to read")
      ->delimiter(',')
      ->capture_default_str();
  app.add_option("--repeats", settings.repeats, "The best of so many")->capture_default_str();
  app.add_option("--format", settings.format, "text or json")
      ->check(CLI::IsMember({"text", "json"}))
      ->capture_default_str();
  CLI11_PARSE(app, argc, argv);
  return hocket::Probe(settings);
}
