#include "runtime/beam_group.h"

#include <algorithm>
#include <utility>

#include "absl/strings/str_cat.h"

namespace hocket {

BeamGroup::BeamGroup(const SequenceStart& start, const SequenceState& state)
    : spec_(start.spec),
      search_(*spec_->beam, state.stop_token_count(), state.max_new_tokens()),
      slots_(spec_->beam->width) {}

absl::Status BeamGroup::Check(const SequenceStart& start) {
  if (absl::Status status = start.spec->beam->Validate(); !status.ok()) return status;
  if (start.group == 0) return absl::InvalidArgumentError("a beam's sequence has no group");
  if (start.choice_index < 0 || start.choice_index >= start.spec->beam->width) {
    return absl::InvalidArgumentError(absl::StrCat("choice_index: ", start.choice_index,
                                                   " of a beam search is outside [0, ",
                                                   start.spec->beam->width, ")"));
  }
  if (start.resumed != nullptr && !start.resumed->empty()) {
    return absl::InvalidArgumentError("resume: a beam search cannot be gone on with");
  }
  return absl::OkStatus();
}

void BeamGroup::Join(int32_t slot, std::unique_ptr<SequenceState>& state, Outcome& outcome) {
  ++joined_;
  slots_[slot].state = &state;
  slots_[slot].outcome = &outcome;
}

void BeamGroup::Ask(SamplingRows::Row& row) const {
  row.candidates = search_.tokens_per_beam();
  row.scored = spec_->output.logprobs;
  row.top_logprobs = spec_->output.logprobs ? spec_->output.top_logprobs : 0;
}

void BeamGroup::Take(int32_t slot, std::span<const RowCandidate> candidates,
                     std::span<const TokenLogprob> top) {
  slots_[slot].candidates.assign(candidates.begin(), candidates.end());
  slots_[slot].top.assign(top.begin(), top.end());
}

void BeamGroup::Advance() {
  absl::Status status = CheckJoined();
  if (status.ok()) status = AdvanceSearch();
  if (!status.ok()) {
    for (const Slot& slot : slots_) {
      if (slot.outcome != nullptr) slot.outcome->status = status;
    }
  }
  Abandon();
}

void BeamGroup::Abandon() {
  joined_ = 0;
  for (Slot& slot : slots_) {
    slot.state = nullptr;
    slot.outcome = nullptr;
    slot.candidates.clear();
    slot.top.clear();
  }
}

absl::Status BeamGroup::CheckJoined() const {
  for (const Slot& slot : slots_) {
    if (slot.outcome != nullptr && !slot.outcome->status.ok()) return slot.outcome->status;
  }
  const auto count = std::count_if(slots_.begin(), slots_.end(),
                                   [](const Slot& slot) { return slot.outcome != nullptr; });
  if (count == spec_->beam->width && count == joined_ && !search_.over()) return absl::OkStatus();
  return absl::FailedPreconditionError(
      absl::StrCat(joined_, " rows of a beam search of width ", spec_->beam->width, " sample",
                   search_.over() ? " after its end" : " in one step"));
}

absl::Status BeamGroup::AdvanceSearch() {
  ++step_;
  std::vector<std::vector<TokenLogprob>> likeliest(slots_.size());
  for (size_t i = 0; i < slots_.size(); ++i) {
    for (const RowCandidate& candidate : slots_[i].candidates) {
      likeliest[i].push_back({candidate.token, candidate.logprob});
    }
  }
  tried_.clear();
  absl::Status status;
  search_.Advance(likeliest, [&](int32_t rank, const BeamSearch::Candidate& candidate) {
    const absl::StatusOr<bool> ends = status.ok() ? Try(rank, candidate) : status;
    status.Update(ends.status());
    return !ends.ok() || *ends;
  });
  if (!status.ok()) return status;
  KeepEnded();
  status = MoveSlots();
  for (Tried& tried : tried_) tree_.Release(tried.node);
  tried_.clear();
  if (!status.ok()) return status;
  if (!search_.over()) return absl::OkStatus();
  if (search_.finished().empty()) {
    return absl::InternalError("the logits leave no token that could continue any beam");
  }
  TellResults();
  return absl::OkStatus();
}

// Whether the candidate's text ends with its token. What the beam's state becomes by it is kept, in
// case that it goes on.
absl::StatusOr<bool> BeamGroup::Try(int32_t rank, const BeamSearch::Candidate& candidate) {
  const Slot& parent = slots_[candidate.slot];
  absl::StatusOr<std::unique_ptr<SequenceState>> state = (*parent.state)->Fork();
  if (!state.ok()) return state.status();
  const RowCandidate& row = parent.candidates[candidate.choice];
  Outcome told;
  absl::Status status = (*state)->Accept(row.token, row.logprob, told);
  if (!status.ok()) return status;

  BeamTree::Entry entry;
  entry.score = {.token = row.token, .logprob = row.score, .rank = row.rank, .top = parent.top};
  entry.text = std::move(told.text);
  const bool ends = told.finish.has_value();
  tried_.resize(rank + 1);
  tried_[rank] = {.state = *std::move(state),
                  .node = tree_.Add(parent.node, std::move(entry)),
                  .finish = std::move(told.finish)};
  return ends;
}

// Brings what is held of ended candidates in line with what the search keeps of them.
void BeamGroup::KeepEnded() {
  std::vector<Ended> kept;
  for (const BeamSearch::Finished& found : search_.finished()) {
    if (found.step == step_) {
      Tried& tried = tried_[found.rank];
      kept.push_back({found.step, found.rank, std::exchange(tried.node, BeamTree::kPrompt),
                      *std::move(tried.finish)});
      continue;
    }
    const auto before = std::find_if(ended_.begin(), ended_.end(), [&](const Ended& ended) {
      return ended.step == found.step && ended.rank == found.rank;
    });
    kept.push_back(std::move(*before));
    before->node = BeamTree::kPrompt;
  }
  for (const Ended& dropped : ended_) tree_.Release(dropped.node);
  ended_ = std::move(kept);
}

// Each slot takes over the state of the candidate that it goes on with. One that holds no beam
// takes a copy of the best, so that it counts as many tokens.
absl::Status BeamGroup::MoveSlots() {
  if (search_.over()) return absl::OkStatus();
  std::vector<std::unique_ptr<SequenceState>> states(slots_.size());
  const Tried* best = nullptr;
  for (size_t i = 0; i < slots_.size(); ++i) {
    const BeamSearch::Slot& next = search_.slots()[i];
    Outcome& outcome = *slots_[i].outcome;
    outcome.move = BeamMove{.parent = next.parent, .token = next.token};
    tree_.Release(std::exchange(slots_[i].node, BeamTree::kPrompt));
    if (!next.runs) continue;
    Tried& taken = tried_[next.rank];
    slots_[i].node = std::exchange(taken.node, BeamTree::kPrompt);
    if (best == nullptr || &taken < best) best = &taken;
  }
  for (size_t i = 0; i < slots_.size(); ++i) {
    if (search_.slots()[i].runs) continue;
    absl::StatusOr<std::unique_ptr<SequenceState>> copy = best->state->Fork();
    if (!copy.ok()) return copy.status();
    states[i] = *std::move(copy);
  }
  for (size_t i = 0; i < slots_.size(); ++i) {
    const BeamSearch::Slot& next = search_.slots()[i];
    *slots_[i].state = std::move(next.runs ? tried_[next.rank].state : states[i]);
  }
  return absl::OkStatus();
}

// The best candidates, each whole in the row of its rank. A row beyond them has a finish only; so
// has one for which there was no text any more that the rules of the request allow.
void BeamGroup::TellResults() {
  for (size_t i = 0; i < slots_.size(); ++i) {
    Outcome& outcome = *slots_[i].outcome;
    const bool told = i < ended_.size() && i < static_cast<size_t>(spec_->beam->returned);
    if (told) {
      TellResult(search_.finished()[i], ended_[i], outcome);
    } else {
      const bool ended = i < ended_.size();
      outcome.finish =
          Finish{.reason = ended ? ended_[i].finish.reason : FinishReason::kConstraint};
    }
  }
}

void BeamGroup::TellResult(const BeamSearch::Finished& found, const Ended& ended,
                           Outcome& outcome) const {
  for (const BeamTree::Entry* entry : tree_.Path(ended.node)) {
    outcome.tokens.push_back(entry->score.token);
    outcome.text += entry->text;
    if (spec_->output.logprobs) outcome.scores.push_back(entry->score);
  }
  outcome.finish = ended.finish;
  outcome.finish->total_logprob = found.total_logprob;
  outcome.finish->score = found.score;
}

}  // namespace hocket
