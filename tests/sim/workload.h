// What comes to a simulated scheduler: its limits, its machine, and requests of a random temper,
// some of them adversarial. Everything is drawn from the life's own random numbers.
#ifndef HOCKET_TESTS_SIM_WORKLOAD_H_
#define HOCKET_TESTS_SIM_WORKLOAD_H_

#include <cstdint>
#include <random>

#include "recorded_request.h"
#include "scheduler/scheduler.h"

namespace hocket {

class Workload {
 public:
  explicit Workload(std::mt19937_64* random);

  SchedulerSettings RandomSettings();

  // How many requests come before the next step.
  int32_t Arrivals();
  RequestShape NextRequest(int64_t number, const SchedulerSettings& settings, absl::Time now);
  // How many requests are cancelled before the next step.
  int32_t Cancels();
  bool rolls() const { return roll_rate_ > 0; }  // Whether any context does.
  bool FaultyRow() { return Chance(row_fault_rate_); }
  bool FaultyStep() { return Chance(step_fault_rate_); }

  // What computing a step takes: the machine's own cost, noise, and now and then a busy neighbour.
  absl::Duration StepTime(const StepLoad& load);
  // A clock that was set.
  absl::Duration ClockJump();

  // The most new tokens that any request asks for, in contexts.
  static constexpr int32_t kRolledContexts = 2;

  bool Chance(double probability);
  int32_t Between(int32_t low, int32_t high);  // Both included.

 private:
  void MakeGroup(RequestShape& shape, const SchedulerSettings& settings);
  void Resume(RequestShape& shape, const SchedulerSettings& settings);

  std::mt19937_64& random_;
  double arrival_rate_ = 0;
  double burst_rate_ = 0;  // Of steps before which dozens come at once.
  double long_rate_ = 0;   // Of requests with long prompts and answers.
  double flood_rate_ = 0;  // Of requests that are one tenant's.
  double fork_rate_ = 0;   // Of requests with several choices or beams.
  double roll_rate_ = 0;   // Of requests whose contexts roll.
  double draft_rate_ = 0;  // Of requests with guesses.
  double cancel_rate_ = 0;
  double deadline_rate_ = 0;
  double row_fault_rate_ = 0;
  double step_fault_rate_ = 0;
  bool famine_ = false;    // Short prompts are let in by the dozen and then all grow.
  bool one_huge_ = false;  // One prompt of the whole context among chats.
  bool shared_prefixes_ = false;
  int32_t tenants_ = 1;
  int32_t classes_ = 1;
  double milliseconds_per_row_ = 0;
  double milliseconds_per_token_ = 0;
};

}  // namespace hocket

#endif  // HOCKET_TESTS_SIM_WORKLOAD_H_
