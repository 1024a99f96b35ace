// Who is next among the waiting: by class, then the preempted before those who never ran, then the
// tenant that has been served least, then the earliest deadline, then arrival.
//
// Service is counted in virtual tokens (virtual token counters; Sheng et al., "Fairness in Serving
// Large Language Models", OSDI 2024): a prompt token that is computed counts 1, a generated one
// kGeneratedTokenCost, both divided by the tenant's weight. The counters are per class. A tenant
// that comes back with a counter below that of those who wait is lifted to theirs: what it did not
// use is not saved up.
//
// The bound: let two tenants of one class wait without a break. Whenever one is picked, its counter
// is the least. From then until it is picked again its counter grows only by what its running
// sequences are served: at most running_limit of them, each its prompt (which several of a request
// share) and its new tokens. A context that rolls forgets tokens but not their cost, so it is the
// new tokens that bound this and not the context. So their counters never differ by more than
// FairnessBound / weight. (While the preempted wait, nobody new of their class is picked, so no
// tenant has more than running_limit sequences under way when it is.)
//
// Owned by the scheduler; engine thread only. Operations are logarithmic in the waiting.
#ifndef HOCKET_SCHEDULER_WAITING_LINE_H_
#define HOCKET_SCHEDULER_WAITING_LINE_H_

#include <array>
#include <cstdint>
#include <map>
#include <memory>
#include <set>
#include <string>
#include <tuple>
#include <unordered_map>
#include <utility>
#include <vector>

#include "absl/time/time.h"
#include "scheduler/request.h"

namespace hocket {

class RequestState;

// What keeps the first in line from its plan.
enum class Obstacle { kSlots, kBlocks, kBudget };

constexpr double kGeneratedTokenCost = 2;

// No request is overtaken by one of its own tenant that arrives this much later, whatever deadline
// that one has.
constexpr absl::Duration kDeadlinePatience = absl::Minutes(5);

// `max_prompt_tokens` and `max_new_tokens`: the most that a sequence computes and draws. Where none
// rolls, both together are at most the context.
inline double FairnessBound(int32_t running_limit, int32_t max_prompt_tokens,
                            int32_t max_new_tokens) {
  return (max_prompt_tokens + kGeneratedTokenCost * max_new_tokens) * running_limit;
}

class WaitingLine {
 public:
  // What is known of one tenant in one class, while it has requests and a little longer.
  class Tenant;

  WaitingLine();
  ~WaitingLine();
  WaitingLine(const WaitingLine&) = delete;
  WaitingLine& operator=(const WaitingLine&) = delete;

  // A request is held from Hold to Release; in between it may wait any number of times.
  void Hold(RequestState& state);
  void Release(RequestState& state);

  void Wait(RequestState& state);   // It never ran, or ran and was preempted.
  void Leave(RequestState& state);  // It no longer waits.

  RequestState* First() const;  // Null when nobody waits.

  // The request's tenant was served so many virtual tokens. They count from the next Settle on.
  void Charge(const RequestState& state, double virtual_tokens);
  void Settle();
  static double Served(const RequestState& state);

  // The first in line was kept waiting by `obstacle` for so long.
  void CountBlocked(Obstacle obstacle, absl::Duration time);
  // Why a request that waits for its first plan has waited so far.
  WaitTimes WaitedBy(const RequestState& state) const;

  int32_t size() const { return waiting_; }
  int32_t preempted() const { return preempted_; }

  // Prompt tokens still to be computed that the policy puts before this waiting request's own,
  // where the other tenants of its class get as much as it does.
  int64_t TokensAhead(const RequestState& state) const;

  // Calls `visit(state)` for each who waits, class by class and tenant by tenant.
  template <typename Visit>
  void ForEach(Visit visit) const;

  void CheckInvariants() const;

 private:
  // (service so far, deadline and arrival of its first) orders the tenants who wait.
  using DeadlineKey = std::pair<absl::Time, SequenceId>;
  using TenantKey = std::tuple<double, DeadlineKey, Tenant*>;

  struct Line {
    std::map<int64_t, RequestState*> preempted;  // By admission.
    std::unordered_map<std::string, std::unique_ptr<Tenant>> tenants;
    std::set<TenantKey> backlogged;  // Those with requests that never ran.
    double floor = 0;                // The counter of the tenant picked last.
    size_t sweep_at = 64;            // Tenants at which the idle ones are forgotten.
  };

  static DeadlineKey KeyOf(const RequestState& state);
  static TenantKey KeyOf(Tenant& tenant);
  static double LeastServed(const Line& line);
  Line& LineOf(const RequestState& state);
  const Line& LineOf(const RequestState& state) const;
  static void ForgetIdle(Line& line);

  std::array<Line, kPriorityClasses> lines_;
  std::vector<std::pair<Line*, Tenant*>> charged_;  // Since the last Settle.
  int32_t waiting_ = 0;
  int32_t preempted_ = 0;
  absl::Duration blocked_;  // How long anybody was first and kept waiting.
};

class WaitingLine::Tenant {
 public:
  double served = 0;  // Virtual tokens over weight.
  double weight = 1;
  int32_t held = 0;
  double unsettled = 0;        // Charged and not yet in `served`.
  WaitTimes blocked;           // While one of its requests was first.
  int64_t waiting_tokens = 0;  // Prompt tokens of `waiting`.
  std::map<DeadlineKey, RequestState*> waiting;
};

template <typename Visit>
void WaitingLine::ForEach(Visit visit) const {
  for (const Line& line : lines_) {
    for (const auto& [admission, state] : line.preempted) visit(*state);
    for (const auto& [served, key, tenant] : line.backlogged) {
      for (const auto& [deadline, state] : tenant->waiting) visit(*state);
    }
  }
}

}  // namespace hocket

#endif  // HOCKET_SCHEDULER_WAITING_LINE_H_
