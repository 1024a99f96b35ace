// Drives an executor without a scheduler: runs one sequence to its end in chunks of given sizes,
// with guesses, a preemption and a context that rolls where asked, and gathers what its outcomes
// say.
#ifndef HOCKET_TESTS_RUNTIME_EXECUTOR_DRIVER_H_
#define HOCKET_TESTS_RUNTIME_EXECUTOR_DRIVER_H_

#include <functional>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "runtime/generation_spec.h"
#include "scheduler/step.h"

namespace hocket {

struct Answer {
  absl::Status status;
  std::vector<TokenId> tokens;
  std::vector<TokenScore> scores;
  std::vector<TokenScore> prompt_scores;
  std::vector<Explanation> explanations;
  std::vector<std::string> texts;  // Of each outcome.
  std::vector<float> embedding;
  std::optional<Finish> finish;

  std::string Text() const;
};

// Every token, score, explanation, text and finish, each float as its bits.
std::string Printed(const Answer& answer);

class DrivenSequence {
 public:
  DrivenSequence(SequenceId id, GenerationSpec spec, std::vector<TokenId> prompt,
                 int32_t choice_index = 0);

  // Every row that draws has the guesses that this makes of the tokens after those given.
  using Guesser = std::function<std::vector<TokenId>(std::span<const TokenId> tokens)>;
  void GuessWith(Guesser guesser) { guesser_ = std::move(guesser); }

  // More tokens than this do not fit: it then keeps so many first ones, and forgets the older half
  // of the others.
  void RollAt(int32_t context_tokens, int32_t kept_tokens);

  // Adds its next row to the plan, of at most `chunk` tokens.
  void PlanRow(int32_t chunk, StepPlan& plan);
  void Commit(const Outcome& outcome);
  // Its blocks are gone: all its tokens are computed again, into other blocks.
  void Preempt();

  bool done() const { return answer.finish.has_value() || !answer.status.ok(); }

  Answer answer;

 private:
  SequenceId id_;
  bool started_ = false;
  BlockId first_block_;
  SequenceStart start_;
  std::vector<TokenId> tokens_;  // Prompt and generated, less those forgotten.
  Guesser guesser_;
  int32_t context_tokens_ = 0;  // 0: it does not roll.
  int32_t kept_tokens_ = 0;
  int32_t forgotten_ = 0;
  int32_t computed_ = 0;
  int32_t planned_ = 0;  // Without the guesses.
};

// Runs the sequence alone. After `preempt_after` steps (none when negative) it is preempted once.
Answer RunAlone(Executor& executor, DrivenSequence& sequence, int32_t chunk,
                int32_t preempt_after = -1);

// Runs all in every step together, with the same chunk.
void RunTogether(Executor& executor, std::span<DrivenSequence*> sequences, int32_t chunk);

}  // namespace hocket

#endif  // HOCKET_TESTS_RUNTIME_EXECUTOR_DRIVER_H_
