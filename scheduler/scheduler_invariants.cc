// What must hold of the scheduler's state between any two calls.
#include <vector>

#include "scheduler/invariant.h"
#include "scheduler/scheduler_core.h"

namespace hocket {

void Scheduler::Core::CheckInvariants() const {
  pool_.CheckInvariants();
  CheckTables();
  CheckOrder();
  size_t finite_deadlines = 0;
  for (const auto& [id, state] : requests_) {
    Invariant(id == state->request().id, "a request is found by its own id");
    if (state->request().deadline != absl::InfiniteFuture()) ++finite_deadlines;
    const int32_t row = state->planned_row;
    Invariant(row < 0 || (outstanding_ && planned_[row] == state.get()),
              "a planned row belongs to its request, until the commit");
  }
  Invariant(deadlines_.size() == finite_deadlines, "every finite deadline is watched");
}

void Scheduler::Core::CheckTables() const {
  std::vector<int32_t> holders(pool_.total_blocks(), 0);
  for (const auto& [id, state] : requests_) {
    const Sequence& sequence = state->sequence;
    const int64_t covered =
        static_cast<int64_t>(sequence.block_table().size()) * settings_.block_tokens;
    Invariant(covered >= sequence.computed_tokens(), "computed tokens have blocks");
    Invariant(sequence.pending_tokens() > 0, "a request that is held has tokens to compute");
    Invariant(sequence.total_tokens() <= settings_.max_context_tokens,
              "a sequence stays within the context");
    if (state->waits) Invariant(covered == 0, "a waiting request holds no blocks");
    for (const BlockLease& lease : sequence.block_table()) ++holders[lease.block()];
  }
  std::vector<int32_t> cached(pool_.total_blocks(), 0);
  cache_.CheckInvariants(cached);
  for (BlockId block = 0; block < pool_.total_blocks(); ++block) {
    Invariant(holders[block] + cached[block] == pool_.holders(block),
              "a block's holders are block tables and the cache");
    Invariant(holders[block] <= 1 || cached[block] == 1, "what two sequences share is cached");
  }
}

void Scheduler::Core::CheckOrder() const {
  Invariant(running_.size() + line_.size() == requests_.size(), "a request runs or waits");
  Invariant(static_cast<int32_t>(running_.size()) <= running_limit_, "the running limit is kept");
  for (size_t i = 0; i < running_.size(); ++i) {
    Invariant(!running_[i]->waits && running_[i]->started(), "a running request has started");
    Invariant(PlaceAmongRunning(*running_[i]) == i, "who runs is in order");
  }
  line_.CheckInvariants();
}

}  // namespace hocket
