// Drives a beam search through an executor without a scheduler: all its sequences in lockstep, in
// chunks of a given size, with preemptions where asked. A sequence that takes over another's tokens
// computes again those that it did not have, or copies the other's blocks.
#ifndef HOCKET_TESTS_RUNTIME_BEAM_DRIVER_H_
#define HOCKET_TESTS_RUNTIME_BEAM_DRIVER_H_

#include <memory>
#include <string>
#include <vector>

#include "runtime/generation_spec.h"
#include "scheduler/step.h"
#include "tests/runtime/executor_driver.h"

namespace hocket {

class DrivenBeams {
 public:
  struct Settings {
    int32_t chunk = 1000;  // Tokens of a row.
    bool copies = false;   // Blocks are copied; else tokens are computed again.
    int32_t block_tokens = 16;
    int32_t blocks_per_sequence = 8;
  };

  // At most 64 sequences, with ids from 64 * `group` on; their blocks are those from these numbers
  // times 2 * blocks_per_sequence on.
  DrivenBeams(SequenceId group, const GenerationSpec& spec, std::vector<TokenId> prompt,
              const Settings& settings);
  DrivenBeams(SequenceId group, const GenerationSpec& spec, std::vector<TokenId> prompt)
      : DrivenBeams(group, spec, std::move(prompt), Settings()) {}

  // Adds the rows of its next step to the plan.
  void PlanRows(StepPlan& plan);
  // `outcomes`: of the step, in the plan's order. Fails the test where the contract is broken.
  void Commit(const std::vector<Outcome>& outcomes);
  // All blocks are gone: all tokens are computed again, into other blocks.
  void Preempt();
  void End(StepPlan& plan) const;

  bool done() const { return done_; }
  int32_t moves() const { return moves_; }    // Steps in which all sampled, but for the last.
  int32_t copies() const { return copies_; }  // Sequences that took over another's tokens.

  std::vector<Answer> answers;  // Of each choice.

 private:
  struct Line {
    SequenceStart start;
    BlockId first_block = 0;
    std::vector<TokenId> tokens;  // Prompt and generated.
    int32_t computed = 0;         // Of them, in its blocks.
    int32_t planned = 0;
    int32_t row = -1;  // Of the step at hand.
    int32_t copied_from = -1;
  };

  void PlanRow(Line& line, bool all_sample, StepPlan& plan);
  void PlanCopies(StepPlan& plan);
  void Move(const std::vector<Outcome>& outcomes);

  const Settings settings_;
  std::vector<Line> lines_;
  bool started_ = false;
  bool sampled_ = false;
  bool done_ = false;
  int32_t moves_ = 0;
  int32_t copies_ = 0;
};

// Runs the search alone. After `preempt_after` steps (none when negative) it is preempted once.
std::vector<Answer> RunBeams(Executor& executor, DrivenBeams& beams, int32_t preempt_after = -1);

// All of the answers, each float as its bits.
std::string Printed(const std::vector<Answer>& answers);

}  // namespace hocket

#endif  // HOCKET_TESTS_RUNTIME_BEAM_DRIVER_H_
