// Drives an executor with one sequence and no scheduler, so that what a benchmark measures is what
// it says: nothing is cached behind its back. One thread, which stands in for the engine's.
#ifndef HOCKET_SERVICE_CLI_SINGLE_SEQUENCE_H_
#define HOCKET_SERVICE_CLI_SINGLE_SEQUENCE_H_

#include <cstdint>
#include <memory>
#include <vector>

#include "absl/status/statusor.h"
#include "runtime/generation_spec.h"
#include "scheduler/step.h"

namespace hocket {

class SingleSequence {
 public:
  // `executor` must outlive this; it has at least the blocks that the longest sequence needs.
  SingleSequence(Executor* executor, int32_t block_tokens, int32_t max_step_tokens);

  // Ends the sequence before, computes all of `prompt` in chunks, and draws the next token.
  absl::StatusOr<TokenId> Begin(std::vector<TokenId> prompt, const GenerationSpec& spec);

  // Computes one decode step with `token` at the end, and draws the next.
  absl::StatusOr<TokenId> Continue(TokenId token);

 private:
  StepPlan NewPlan(std::vector<TokenId> tokens, bool samples);
  absl::StatusOr<TokenId> Draw(const StepPlan& plan);
  absl::Status Execute(const StepPlan& plan);

  Executor* executor_;
  int32_t block_tokens_;
  int32_t max_step_tokens_;
  int64_t step_ = 0;
  SequenceId sequence_ = 0;
  int32_t position_ = 0;
  StepResult result_;
};

}  // namespace hocket

#endif  // HOCKET_SERVICE_CLI_SINGLE_SEQUENCE_H_
