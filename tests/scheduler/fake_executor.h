// Computes steps with the model of fake_model.h. What a token is drawn from is read back from KV
// cells, so one computed from a lost, overwritten or foreign block is a wrong token. A cell holds
// what the real one would: a value that all tokens up to its position determine, and nothing else.
// The executor also checks each plan against the contract of step.h and keeps what it finds.
#ifndef HOCKET_TESTS_SCHEDULER_FAKE_EXECUTOR_H_
#define HOCKET_TESTS_SCHEDULER_FAKE_EXECUTOR_H_

#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <unordered_map>
#include <vector>

#include "absl/status/status.h"
#include "fake_model.h"
#include "runtime/generation_spec.h"
#include "scheduler/scheduler.h"
#include "scheduler/step.h"

namespace hocket {

class FakeExecutor final : public Executor {
 public:
  explicit FakeExecutor(const SchedulerSettings& settings);

  // Tells what the context of a request keeps that rolls, which no plan says.
  void Meet(const Request& request);

  absl::Status Execute(const StepPlan& plan, StepResult& result) override;

  // Faults to inject; asked once for each step and each row.
  std::function<absl::Status()> step_fault;
  std::function<absl::Status(const PlanRow&)> row_fault;

  const std::vector<std::string>& violations() const { return violations_; }
  size_t live_sequences() const { return sequences_.size(); }
  int64_t computed_tokens() const { return computed_tokens_; }
  int64_t copied_blocks() const { return copied_blocks_; }

 private:
  using Cell = uint64_t;  // The chain of hashes up to its position.
  struct FakeSequence {
    SequenceId group = 0;
    int32_t choice = 0;
    std::shared_ptr<const GenerationSpec> spec;
    std::shared_ptr<const std::vector<TokenId>> prompt;
    FakeBeam beam;  // Its line, and where beams are searched its score.
    size_t generated = 0;
    std::string held_text;

    void Take(TokenId token);
    bool searches() const { return spec->beam.has_value(); }
  };

  void Expect(bool holds, const std::string& promise);
  void Admit(const StepPlan& plan);
  void CheckShape(const StepPlan& plan);
  void CheckCopies(const StepPlan& plan);
  void CheckWrittenBlocks(const StepPlan& plan);
  bool CheckRow(const StepPlan& plan, const PlanRow& row, const FakeSequence& sequence);
  void CopyBlocks(const StepPlan& plan);
  void WriteCells(const StepPlan& plan, const PlanRow& row);
  void ReadBack(const StepPlan& plan, const PlanRow& row, const FakeSequence& sequence);
  Outcome Compute(const StepPlan& plan, const PlanRow& row, FakeSequence& sequence);
  void Draw(const StepPlan& plan, const PlanRow& row, FakeSequence& sequence, Outcome& outcome);
  void SearchBeams(const StepPlan& plan, StepResult& result);
  void SearchGroup(const StepPlan& plan, const std::vector<size_t>& rows, StepResult& result);

  Cell& CellAt(const StepPlan& plan, const PlanRow& row, int32_t position);

  const SchedulerSettings settings_;
  std::vector<Cell> cells_;          // [total_blocks, block_tokens]
  std::vector<int32_t> table_uses_;  // [total_blocks]: in how many rows of the plan at hand.
  std::unordered_map<SequenceId, FakeSequence> sequences_;
  std::unordered_map<const GenerationSpec*, int32_t> kept_tokens_;  // Of contexts that roll.
  std::vector<std::string> violations_;
  const StepPlan* plan_ = nullptr;  // At hand.
  int64_t computed_tokens_ = 0;
  int64_t copied_blocks_ = 0;
};

}  // namespace hocket

#endif  // HOCKET_TESTS_SCHEDULER_FAKE_EXECUTOR_H_
