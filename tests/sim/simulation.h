// One seeded life of a scheduler: random limits, arrivals, lengths, cancels, deadlines, a clock
// that jumps, block famine, faults of rows and of whole steps, and a drain at the end. It drives
// the real scheduler with the fake executor and holds both against what must always be true.
#ifndef HOCKET_TESTS_SIM_SIMULATION_H_
#define HOCKET_TESTS_SIM_SIMULATION_H_

#include <cstdint>
#include <deque>
#include <random>
#include <string>
#include <string_view>
#include <vector>

#include "fake_executor.h"
#include "recorded_request.h"
#include "scheduler/scheduler.h"

namespace hocket {

struct SimulationReport {
  int64_t requests = 0;  // Admitted.
  int64_t refused = 0;
  int64_t steps = 0;
  int64_t preemptions = 0;
  PrefixCacheStats prefix_cache;
  int64_t ends[8] = {};                 // By FinishReason.
  uint64_t plan_digest = 0;             // Of every plan's text.
  std::vector<std::string> violations;  // Empty when all promises were kept.
};

class Simulation {
 public:
  explicit Simulation(uint64_t seed);
  SimulationReport Run();

 private:
  struct Life {
    RecordedRequest recorded;
    bool cancelled = false;
  };

  static SchedulerSettings RandomSettings(std::mt19937_64& random);
  void Arrive();
  void CancelSome();
  void MoveClock();
  void Step();
  void FinishAll();
  void Judge();
  void JudgeFinish(const Life& life, const Heard& heard);
  void JudgeAnswer(const Life& life, const Heard& heard);

  bool Chance(double probability);
  int32_t Between(int32_t low, int32_t high);  // Both included.
  void Expect(bool holds, std::string_view promise, std::string_view where = "");

  std::mt19937_64 random_;
  const SchedulerSettings settings_;
  FakeExecutor executor_;
  Scheduler scheduler_;
  absl::Time now_ = absl::UnixEpoch();
  std::deque<Life> lives_;  // Life i has the id "r<i>".
  absl::Time latest_plan_ = absl::InfinitePast();
  // The workload's temper.
  double arrival_rate_ = 0;
  double long_rate_ = 0;
  bool famine_ = false;
  bool shared_prefixes_ = false;
  double cancel_rate_ = 0;
  double row_fault_rate_ = 0;
  double step_fault_rate_ = 0;
  bool faulty_step_ = false;
  SimulationReport report_;
};

}  // namespace hocket

#endif  // HOCKET_TESTS_SIM_SIMULATION_H_
