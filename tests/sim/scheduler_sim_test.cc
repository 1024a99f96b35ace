// Many seeded lives. A failure names its seed; HOCKET_SIM_SEED=<seed> runs that one alone, and
// HOCKET_SIM_SEEDS=<count> more or fewer of them.
#include <gtest/gtest.h>
#include <unistd.h>

#include <algorithm>
#include <csignal>
#include <cstdio>
#include <cstdlib>
#include <iostream>
#include <iterator>
#include <optional>

#include "absl/strings/numbers.h"
#include "scheduler/step_text.h"
#include "simulation.h"

namespace hocket {
namespace {

constexpr uint64_t kSeeds = 30'000;  // A million requests.

std::optional<uint64_t> NumberFromEnvironment(const char* name) {
  const char* text = std::getenv(name);
  uint64_t number = 0;
  if (text == nullptr || !absl::SimpleAtoi(text, &number)) return std::nullopt;
  return number;
}

// An invariant that aborts cannot say the seed any more, so the signal's handler does.
volatile uint64_t running_seed = 0;

void NameSeed(int signal) {
  char text[64];
  const int size = std::snprintf(text, sizeof(text), "HOCKET_SIM_SEED=%llu\n",
                                 static_cast<unsigned long long>(running_seed));
  if (write(STDERR_FILENO, text, size) != size) std::_Exit(1);
  std::signal(signal, SIG_DFL);
  std::raise(signal);
}

SimulationReport RunSeed(uint64_t seed) {
  SCOPED_TRACE(testing::Message() << "HOCKET_SIM_SEED=" << seed);
  running_seed = seed;
  SimulationReport report = Simulation(seed).Run();
  for (const std::string& violation : report.violations) ADD_FAILURE() << violation;
  return report;
}

TEST(SchedulerSimulation, KeepsEveryPromiseInEveryLife) {
  const std::optional<uint64_t> only = NumberFromEnvironment("HOCKET_SIM_SEED");
  const uint64_t first = only.value_or(1);
  const uint64_t count = only ? 1 : NumberFromEnvironment("HOCKET_SIM_SEEDS").value_or(kSeeds);
  std::signal(SIGABRT, NameSeed);
  std::signal(SIGSEGV, NameSeed);
  SimulationReport sum;
  for (uint64_t seed = first; seed < first + count && !HasFailure(); ++seed) {
    const SimulationReport report = RunSeed(seed);
    sum.requests += report.requests;
    sum.refused += report.refused;
    sum.steps += report.steps;
    sum.preemptions += report.preemptions;
    sum.copied_blocks += report.copied_blocks;
    sum.draft_tokens += report.draft_tokens;
    sum.accepted_draft_tokens += report.accepted_draft_tokens;
    sum.whole_groups += report.whole_groups;
    sum.whole_beams += report.whole_beams;
    sum.rolled_choices += report.rolled_choices;
    sum.hopeless += report.hopeless;
    sum.timed_steps += report.timed_steps;
    sum.late_steps += report.late_steps;
    sum.fairness_gap = std::max(sum.fairness_gap, report.fairness_gap);
    sum.prefix_cache.hits += report.prefix_cache.hits;
    sum.prefix_cache.saved_tokens += report.prefix_cache.saved_tokens;
    sum.prefix_cache.evictions += report.prefix_cache.evictions;
    for (size_t i = 0; i < std::size(sum.ends); ++i) sum.ends[i] += report.ends[i];
  }
  std::cout << sum.requests << " requests in " << sum.steps << " steps, " << sum.refused
            << " refused, " << sum.preemptions << " preemptions, " << sum.whole_groups
            << " groups, " << sum.whole_beams << " of them beams, " << sum.copied_blocks
            << " blocks copied, " << sum.accepted_draft_tokens << " of " << sum.draft_tokens
            << " guesses right, " << sum.rolled_choices << " contexts rolled, "
            << sum.prefix_cache.saved_tokens << " tokens cached, " << sum.prefix_cache.evictions
            << " evictions, " << sum.hopeless << " hopeless deadlines, " << sum.late_steps << " of "
            << sum.timed_steps << " timed steps late, largest fairness gap " << sum.fairness_gap
            << " of its bound; ends:";
  for (size_t i = 0; i < std::size(sum.ends); ++i) {
    std::cout << " " << FinishReasonName(static_cast<FinishReason>(i)) << " " << sum.ends[i];
  }
  std::cout << std::endl;
  if (only || HasFailure()) return;
  // The lives are worth living: everything that can happen does.
  EXPECT_GT(sum.requests, 20 * static_cast<int64_t>(count));
  EXPECT_GT(sum.refused, 0);
  EXPECT_GT(sum.hopeless, 0);
  EXPECT_GT(sum.timed_steps, static_cast<int64_t>(count) / 10);
  // But for the busy neighbour's one step in a hundred.
  EXPECT_LT(sum.late_steps, sum.timed_steps / 20);
  EXPECT_GT(sum.preemptions, static_cast<int64_t>(count));
  EXPECT_GT(sum.whole_groups, static_cast<int64_t>(count));
  EXPECT_GT(sum.whole_beams, static_cast<int64_t>(count) / 3);
  EXPECT_GT(sum.copied_blocks, 3 * static_cast<int64_t>(count));
  EXPECT_GT(sum.accepted_draft_tokens, static_cast<int64_t>(count));
  EXPECT_GT(sum.draft_tokens, 11 * sum.accepted_draft_tokens / 10);
  EXPECT_GT(sum.rolled_choices, static_cast<int64_t>(count) / 3);
  EXPECT_GT(sum.prefix_cache.hits, static_cast<int64_t>(count));
  EXPECT_GT(sum.prefix_cache.evictions, 10 * static_cast<int64_t>(count));
  for (const FinishReason reason :
       {FinishReason::kStopToken, FinishReason::kLength, FinishReason::kCancelled,
        FinishReason::kDeadline, FinishReason::kShutdown, FinishReason::kError}) {
    EXPECT_GT(sum.ends[static_cast<int>(reason)], 0) << FinishReasonName(reason);
  }
}

TEST(SchedulerSimulation, IsTheSameForTheSameSeed) {
  for (uint64_t seed = 1; seed <= 10; ++seed) {
    EXPECT_EQ(Simulation(seed).Run().plan_digest, Simulation(seed).Run().plan_digest)
        << "HOCKET_SIM_SEED=" << seed;
  }
}

}  // namespace
}  // namespace hocket
