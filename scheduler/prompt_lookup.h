// Guesses a sequence's next tokens from its own earlier ones (prompt lookup), and says how many
// guesses are worth their computing. A step verifies guesses together with the token that it
// computes anyway, and accepts those that the draws would have given, so guessing changes times and
// never tokens. Pure arithmetic without a clock: the same calls give the same answers. One of each
// per sequence, owned by it; engine thread only.
#ifndef HOCKET_SCHEDULER_PROMPT_LOOKUP_H_
#define HOCKET_SCHEDULER_PROMPT_LOOKUP_H_

#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

#include "scheduler/step.h"

namespace hocket {

// What followed where the last tokens stood before. Takes at most 24 bytes for each token.
class PromptLookup {
 public:
  // So many last tokens must agree.
  static constexpr int32_t kRunTokens = 3;

  // The sequence's next tokens, known for sure: its prompt (in any pieces), then what was drawn.
  // Constant time for each, whatever they are.
  void Append(std::span<const TokenId> tokens);

  // Appends to `guesses` the tokens that followed the latest earlier occurrence of the last
  // kRunTokens tokens, at most `most` of them, and returns how many: 0 where they never occurred.
  // Where the sequence's end is reached, it is taken to repeat itself from that occurrence on.
  int32_t Propose(int32_t most, std::vector<TokenId>& guesses) const;

  int32_t tokens() const { return static_cast<int32_t>(tokens_.size()); }

 private:
  // A run is told by its end: the count of tokens up to its last. 0: none.
  size_t HashAt(int32_t end) const;
  bool SameRun(int32_t end, int32_t other) const;
  int32_t Enter(int32_t end);  // Returns the end of the latest equal run before.
  void Grow();

  std::vector<TokenId> tokens_;
  std::vector<int32_t> latest_;  // A hash table of ends, one for each different run; 0: free.
  int32_t runs_ = 0;             // In the table.
  int32_t earlier_ = 0;          // The latest end before of the run that the sequence ends with.
};

// Adapts the count of guesses to how many were right.
//
// With each guess right by chance a, given that those before it were, k guesses are expected to
// give (1 - a^(k+1)) / (1 - a) tokens (Leviathan, Kalman and Matias, "Fast Inference from
// Transformers via Speculative Decoding", 2023, equation 1). They make the step 1 + k c times as
// long, where c is the relative cost of a guess, so the k that makes the quotient greatest is
// wanted, and none where no k makes it more than 1. The chance a is a moving average over guesses.
//
// Guesses are paid from an account in units of a plain step's time. It starts with 1, each step
// adds 0.02, each right guess 1 and each guess takes c; it is never overdrawn. So however the text
// is, an answer takes at most 1 step and 2 % longer than without guesses (where c is as told). What
// the account holds when the formula says none pays for single guesses, now and then, which notice
// a text that has become predictable, and show whoever predicts the cost what a guess really takes.
class DraftControl {
 public:
  // How many guesses to make in the next step, at most `most`. `relative_cost` is the predicted
  // time of one more token in the step, over the step's time without guesses per row that it
  // decodes (all of them wait for it); 0 or less where unknown.
  int32_t Wanted(int32_t most, double relative_cost);

  // A step was made with so many guesses, often fewer than wanted and mostly 0, of which the first
  // `accepted` were right.
  void Learn(int32_t proposed, int32_t accepted);

  double accept_rate() const { return accept_rate_; }

 private:
  double accept_rate_ = 0.5;
  double account_ = 1;
  double guess_cost_ = 0;  // That the last call of Wanted was told.
};

}  // namespace hocket

#endif  // HOCKET_SCHEDULER_PROMPT_LOOKUP_H_
