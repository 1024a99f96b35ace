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
    for (const Choice& choice : state->choices()) {
      const int32_t row = choice.planned_row;
      Invariant(row < 0 || (outstanding_ && planned_[row].choice == &choice),
                "a planned row belongs to its sequence, until the commit");
    }
  }
  Invariant(deadlines_.size() == finite_deadlines, "every finite deadline is watched");
}

void Scheduler::Core::CheckTables() const {
  std::vector<int32_t> holders(pool_.total_blocks(), 0);
  std::vector<const RequestState*> request(pool_.total_blocks());  // Of one that holds the block.
  std::vector<int32_t> cached(pool_.total_blocks(), 0);
  cache_.CheckInvariants(cached);
  for (const auto& [id, state] : requests_) {
    CheckSequences(*state);
    for (const Choice& choice : state->choices()) {
      for (const BlockLease& lease : choice.sequence.block_table()) {
        const BlockId block = lease.block();
        Invariant(holders[block] == 0 || cached[block] == 1 || request[block] == state.get(),
                  "what two requests share is cached");
        ++holders[block];
        request[block] = state.get();
      }
    }
  }
  for (BlockId block = 0; block < pool_.total_blocks(); ++block) {
    Invariant(holders[block] + cached[block] == pool_.holders(block),
              "a block's holders are block tables and the cache");
  }
}

void Scheduler::Core::CheckSequences(const RequestState& state) const {
  int32_t live = 0;
  for (const Choice& choice : state.choices()) {
    const Sequence& sequence = choice.sequence;
    const int64_t covered =
        static_cast<int64_t>(sequence.block_table().size()) * settings_.block_tokens;
    const bool may_hold = !choice.ended && !choice.awaits_fork && !state.waits;
    Invariant(may_hold || (covered == 0 && choice.planned_row < 0),
              "who waits, awaits a fork or has ended holds no blocks");
    if (choice.ended) continue;
    ++live;
    Invariant(covered >= sequence.computed_tokens(), "computed tokens have blocks");
    Invariant(sequence.pending_tokens() > 0, "a sequence that is held has tokens to compute");
    Invariant(sequence.total_tokens() <= settings_.max_context_tokens,
              "a sequence stays within the context");
    Invariant(!choice.awaits_fork || state.leader() != nullptr, "a fork that is awaited comes");
  }
  Invariant(live == state.live() && live > 0, "the live sequences are counted");
}

void Scheduler::Core::CheckOrder() const {
  Invariant(running_.size() + line_.size() == requests_.size(), "a request runs or waits");
  Invariant(running_sequences_ <= running_limit_, "the running limit is kept");
  int32_t sequences = 0;
  for (size_t i = 0; i < running_.size(); ++i) {
    sequences += running_[i]->live();
    Invariant(!running_[i]->waits && running_[i]->started(), "a running request has started");
    Invariant(PlaceAmongRunning(*running_[i]) == i, "who runs is in order");
  }
  Invariant(sequences == running_sequences_, "running sequences are counted");
  line_.CheckInvariants();
}

}  // namespace hocket
