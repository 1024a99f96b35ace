// The rules of beam search, as transformers' generate(num_beams=W, do_sample=False) has them: which
// candidates go on, which are kept as finished, and when the search is over. Knows tokens and
// log-probabilities only. One per group of sequences; engine thread only.
//
// A candidate is a running beam's tokens and one more. Of all candidates the likeliest
// max(2, 1 + stop tokens) * width are considered, in falling order of their log-probability (ties
// to the beam that was better, then to the lower token id). Of those whose text ends, the ones
// among the first `width` are finished, and the best `width` of all finished ones are kept; the
// first `width` of the others run on. A finished candidate's score is its log-probability over its
// count of generated tokens, the last included, to the power of the length penalty.
//
// Once `width` candidates are kept the search is over when the best running beam, as long as it
// is, scores no better than the worst kept one (heuristic; never: the same, but as long as it may
// become where the length penalty is positive); always: at once.
//
// Where transformers goes on with placeholders of log-probability -1e9 because too few candidates
// are possible (all others are -inf, or their text ends), fewer beams run, down to none.
#ifndef HOCKET_RUNTIME_BEAM_SEARCH_H_
#define HOCKET_RUNTIME_BEAM_SEARCH_H_

#include <cstdint>
#include <span>
#include <vector>

#include "absl/functional/function_ref.h"
#include "runtime/generation_spec.h"
#include "scheduler/step.h"

namespace hocket {

class BeamSearch {
 public:
  struct Candidate {
    int32_t slot = 0;    // Of the beam that it continues,
    int32_t choice = 0;  // by this one of its likeliest tokens.
    TokenId token = 0;
    double total_logprob = 0;  // Of all generated tokens.
    int32_t beam = 0;          // The beam's place among those that run; 0 is the best.
  };
  // What a slot holds after a step.
  struct Slot {
    bool runs = false;   // Else there were too few candidates: what it holds does not matter.
    int32_t parent = 0;  // The slot whose tokens, before the step, it now has.
    TokenId token = 0;   // And the one after them.
    int32_t rank = 0;    // Of the candidate that it took, where it runs.
  };
  struct Finished {
    int32_t step = 0;  // That it came of, from 1: as many tokens were generated,
    int32_t rank = 0;  // and the candidate's place among those considered then.
    double total_logprob = 0;
    double score = 0;
  };
  // Whether the text of the candidate of this rank ends with it.
  using Ends = absl::FunctionRef<bool(int32_t rank, const Candidate& candidate)>;

  // `stop_tokens`: how many tokens of the vocabulary end a text. `max_new_tokens` >= 1: no text is
  // longer; Ends must say so.
  BeamSearch(const BeamSettings& settings, int32_t stop_tokens, int32_t max_new_tokens);

  // How many of each beam's likeliest tokens a step needs, or all that are possible. With so many
  // the step is the same as with all of the vocabulary, for candidates that end by their token.
  int32_t tokens_per_beam() const;

  // Whether the slot's tokens are wanted in the next step. At first all slots hold the same, and
  // only slot 0 counts.
  bool Wants(int32_t slot) const;

  // One step. likeliest[slot]: the slot's tokens in falling order, [width]; empty for slots that
  // are not wanted. `ends` is asked in rising order of rank, once each, and not for candidates that
  // do not matter any more.
  void Advance(std::span<const std::vector<TokenLogprob>> likeliest, Ends ends);

  bool over() const { return over_; }
  std::span<const Slot> slots() const { return slots_; }            // [width]
  std::span<const Finished> finished() const { return finished_; }  // Best first.

 private:
  struct Running {
    int32_t slot = 0;
    double total_logprob = 0;
  };

  void Rank(std::span<const std::vector<TokenLogprob>> likeliest);
  void Keep(int32_t rank);
  void PlaceChildren(std::span<const int32_t> children);
  bool MayImprove() const;
  double Score(double total_logprob, int32_t tokens) const;

  const BeamSettings settings_;
  const int32_t stop_tokens_;
  const int32_t max_new_tokens_;
  int32_t generated_ = 0;  // Tokens of each running beam.
  bool over_ = false;
  std::vector<Running> running_;       // Best first.
  std::vector<Slot> slots_;            // [width]
  std::vector<Finished> finished_;     // Best first, at most `width`.
  std::vector<Candidate> considered_;  // Of the step at hand.
};

}  // namespace hocket

#endif  // HOCKET_RUNTIME_BEAM_SEARCH_H_
