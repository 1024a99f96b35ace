// One seeded life of a scheduler: random limits, tenants, classes, bursts, lengths, cancels,
// deadlines, a clock that jumps, block famine, faults of rows and of whole steps, and a drain at
// the end. It drives the real scheduler with the fake executor and a machine whose steps take time,
// and holds all against what must always be true.
#ifndef HOCKET_TESTS_SIM_SIMULATION_H_
#define HOCKET_TESTS_SIM_SIMULATION_H_

#include <cstdint>
#include <deque>
#include <map>
#include <random>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "fairness_watch.h"
#include "fake_executor.h"
#include "recorded_request.h"
#include "scheduler/admission_gate.h"
#include "scheduler/scheduler.h"
#include "workload.h"

namespace hocket {

struct SimulationReport {
  int64_t requests = 0;  // Admitted.
  int64_t refused = 0;
  int64_t steps = 0;
  int64_t preemptions = 0;
  int64_t copied_blocks = 0;
  int64_t draft_tokens = 0;
  int64_t accepted_draft_tokens = 0;
  int64_t whole_groups = 0;    // Of several choices that came to their natural ends; of those,
  int64_t whole_beams = 0;     // the beam searches.
  int64_t rolled_choices = 0;  // The same where the context rolled.
  PrefixCacheStats prefix_cache;
  int64_t hopeless = 0;      // Ended at once, for a deadline that prediction puts out of reach.
  int64_t timed_steps = 0;   // With decode rows beside prefill, under a target.
  int64_t late_steps = 0;    // Of those, the ones that took over 1.5 times the target.
  double fairness_gap = 0;   // The largest, as a fraction of its bound.
  int64_t ends[8] = {};      // By FinishReason.
  uint64_t plan_digest = 0;  // Of every plan.
  std::vector<std::string> violations;  // Empty when all promises were kept.
};

class Simulation {
 public:
  explicit Simulation(uint64_t seed);
  SimulationReport Run();

 private:
  class Listener;  // Between a request and its recording sink.
  struct Life {
    RecordedRequest recorded;
    bool cancelled = false;
  };

  void Arrive();
  void Cancel(int32_t count);
  void Step();
  void ServeBeams(const StepPlan& plan, const StepResult& result);
  void CheckPlan(const StepPlan& plan);
  void CheckTarget();
  void FinishAll();
  void Judge();
  void JudgeFinish(const Life& life, const Heard& heard);
  void JudgeAnswer(const Life& life, const Heard& heard);
  void JudgePromptScores(const Life& life, const Heard& heard);
  void CountWhole(const Life& life, const std::vector<FakeAnswer>& answers);

  void Expect(bool holds, std::string_view promise, std::string_view where = "");

  std::mt19937_64 random_;
  Workload workload_;
  const SchedulerSettings settings_;
  const double fairness_bound_;  // Of the service that two tenants get while both wait.
  FakeExecutor executor_;
  AdmissionGate gate_;
  FairnessWatch fairness_;
  Scheduler scheduler_;
  absl::Time now_ = absl::UnixEpoch();
  std::deque<Life> lives_;  // Life i has the id "r<i>".
  // Lives with deadlines that had not ended when last looked at, by deadline.
  std::multimap<absl::Time, size_t> deadlines_;
  absl::Time latest_plan_ = absl::InfinitePast();
  // Where beams are searched, whose service only the moves tell.
  std::unordered_map<const GenerationSpec*, size_t> searches_;  // Lives.
  std::unordered_map<SequenceId, size_t> beams_;                // Lives.
  SimulationReport report_;
};

}  // namespace hocket

#endif  // HOCKET_TESTS_SIM_SIMULATION_H_
