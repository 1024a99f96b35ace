// One beam search in the executor: the states of its sequences, which fork as its beams do, and
// what the search has found so far. It lives from its first sequence's start to its last one's end,
// through any preemption in between. Owned by ModelExecutor, engine thread only.
//
// A step goes so: Ask for every row of the group that samples, Take of those that were asked for,
// Advance once, which fills all their outcomes.
#ifndef HOCKET_RUNTIME_BEAM_GROUP_H_
#define HOCKET_RUNTIME_BEAM_GROUP_H_

#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "runtime/beam_search.h"
#include "runtime/beam_tree.h"
#include "runtime/generation_spec.h"
#include "runtime/sampling/row_request.h"
#include "runtime/sampling/sampling_stage.h"
#include "runtime/sequence_state.h"
#include "scheduler/step.h"

namespace hocket {

class BeamGroup {
 public:
  // `start` and `state` of any of the sequences; `start.spec->beam` is set.
  BeamGroup(const SequenceStart& start, const SequenceState& state);

  // INVALID_ARGUMENT where this cannot be one of the group's sequences.
  static absl::Status Check(const SequenceStart& start);

  // A row of the group samples in this step, as sequence `slot` (its choice index). `state` and
  // `outcome` are kept until Advance.
  void Join(int32_t slot, std::unique_ptr<SequenceState>& state, Outcome& outcome);
  // Whether its logits are wanted. Not of all in the first step, nor where few beams run.
  bool Wants(int32_t slot) const { return search_.Wants(slot); }
  // Makes of a row that would draw one that tells what the search needs to know.
  void Ask(SamplingRows::Row& row) const;
  void Take(int32_t slot, std::span<const RowCandidate> candidates,
            std::span<const TokenLogprob> top);

  // Whether rows have joined since the last Advance.
  bool joined() const { return joined_ > 0; }
  // Goes on by a token, or ends: sets the outcomes of the rows that joined. Their states may be
  // others now. Where one row failed, all fail with its status.
  void Advance();
  // Forgets who joined: the step failed as a whole.
  void Abandon();

 private:
  struct Slot {
    BeamTree::Node node = BeamTree::kPrompt;  // Held, unless the beam does not run.
    // Of the step at hand.
    std::unique_ptr<SequenceState>* state = nullptr;
    Outcome* outcome = nullptr;
    std::vector<RowCandidate> candidates;
    std::vector<TokenLogprob> top;
  };
  // A candidate that was looked at in the step at hand.
  struct Tried {
    std::unique_ptr<SequenceState> state;
    BeamTree::Node node = BeamTree::kPrompt;
    std::optional<Finish> finish;
  };
  // A candidate that has ended, as long as the search keeps it.
  struct Ended {
    int32_t step = 0;  // As in BeamSearch::Finished, with `rank`.
    int32_t rank = 0;
    BeamTree::Node node = BeamTree::kPrompt;
    Finish finish;
  };

  absl::Status CheckJoined() const;
  absl::Status AdvanceSearch();
  absl::StatusOr<bool> Try(int32_t rank, const BeamSearch::Candidate& candidate);
  void KeepEnded();
  absl::Status MoveSlots();
  void TellResults();
  void TellResult(const BeamSearch::Finished& found, const Ended& ended, Outcome& outcome) const;

  const std::shared_ptr<const GenerationSpec> spec_;
  BeamSearch search_;
  BeamTree tree_;
  std::vector<Slot> slots_;  // [width]
  int32_t joined_ = 0;
  int32_t step_ = 0;
  std::vector<Tried> tried_;  // By rank.
  std::vector<Ended> ended_;
};

}  // namespace hocket

#endif  // HOCKET_RUNTIME_BEAM_GROUP_H_
