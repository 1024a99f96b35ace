// Computes the scheduler's steps with a model: forward pass, sampling stage, text and stop
// conditions. A row's outcome depends on its own sequence alone, bit for bit. Called by the engine
// thread only; the parts of a step that are wide run on an OpenMP team.
#ifndef HOCKET_RUNTIME_MODEL_EXECUTOR_H_
#define HOCKET_RUNTIME_MODEL_EXECUTOR_H_

#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <unordered_map>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "runtime/beam_group.h"
#include "runtime/model/decoder.h"
#include "runtime/model_runtime.h"
#include "runtime/sampling/sampling_stage.h"
#include "runtime/sequence_state.h"
#include "runtime/text/tokenizer.h"
#include "scheduler/step.h"

namespace hocket {

class ModelExecutor final : public Executor {
 public:
  // `decoder` and `tokenizer` must outlive this. `info` with all its fields set.
  ModelExecutor(Decoder* decoder, const Tokenizer* tokenizer, ModelInfo info);

  // Fails as a whole only where the decoder does. A row's own troubles (a NaN among its logits, a
  // sequence never started) are its outcome's status.
  absl::Status Execute(const StepPlan& plan, StepResult& result) override;

 private:
  // One row of logits that is wanted: after the token at `output` of the forward pass.
  struct LogitsRow {
    int32_t output = 0;  // Row of the hidden states.
    int32_t row = 0;     // Of the plan.
    int32_t place = 0;   // Of the token that the logits predict, among all that there ever were.
    bool draws = false;  // Else the prompt's own token is scored.
    // Whether it is to be sampled now: from the start, or once the draws before were as guessed.
    bool due = true;
    std::optional<TokenId> guess;  // Of the token drawn here; the next LogitsRow comes after it.
  };

  struct Sequence {
    absl::Status status;  // Not OK: it could not be started, and its rows fail with this.
    std::unique_ptr<SequenceState> state;
    std::shared_ptr<BeamGroup> beam;  // Null where it is no part of a beam search,
    int32_t slot = 0;                 // and else which.
  };

  void StartAndEnd(const StepPlan& plan);
  absl::Status JoinBeam(const SequenceStart& start, Sequence& sequence);
  void FindWantedOutputs(const StepPlan& plan, StepResult& result);
  void FindWantedOutputsOfRow(const StepPlan& plan, int32_t row);
  void Pool(const StepPlan& plan, std::span<const float> hidden, StepResult& result);
  absl::Status Sample(std::span<const float> hidden, StepResult& result);
  bool SampleDue(size_t begin, size_t count, StepResult& result);
  void ComputeMasks(StepResult& result);
  absl::Status ComputeLogits(std::span<const float> hidden, std::span<const LogitsRow> wanted);
  bool TakeOutcome(const LogitsRow& wanted, int32_t sampled_row, Outcome& outcome);

  Decoder* decoder_;
  const Tokenizer* tokenizer_;
  const ModelInfo info_;
  const int32_t logits_rows_;  // Computed at once; bounds the memory.
  SamplingStage stage_;
  std::unordered_map<SequenceId, Sequence> sequences_;
  std::unordered_map<SequenceId, std::weak_ptr<BeamGroup>> beams_;  // By the group's id.

  // Of the step at hand; kept for their memory.
  std::vector<SequenceState*> states_;               // [plan rows], null where the row has failed.
  std::vector<Sequence*> beam_rows_;                 // [plan rows], null where no beam samples.
  std::vector<int32_t> outputs_;                     // Indices into the plan's tokens, rising.
  std::vector<LogitsRow> logits_wanted_;             // In the order of outputs_.
  std::vector<std::pair<int32_t, int32_t>> pooled_;  // (row of the plan, row of hidden states).
  std::vector<float> gathered_;                      // [logits_rows_, hidden_size]
  std::vector<float> logits_;                        // [logits_rows_, vocabulary_size]
  std::vector<size_t> due_;                          // Of logits_wanted_, sampled together.
  SamplingRows sampling_rows_;
  std::vector<size_t> constrained_;  // Of due_, those that draw under a grammar.
};

}  // namespace hocket

#endif  // HOCKET_RUNTIME_MODEL_EXECUTOR_H_
