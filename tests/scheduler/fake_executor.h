// A model small enough to predict: each token is a hash of the request's seed and of every token
// before it, as read back from the KV cells. So a token computed from a lost, overwritten or
// foreign block is a wrong token, and what a request should answer is known without running it. A
// cell holds what the real one would: a value that all tokens up to its position determine, and
// nothing else. The executor also checks each plan against the contract of step.h and keeps what it
// finds.
#ifndef HOCKET_TESTS_SCHEDULER_FAKE_EXECUTOR_H_
#define HOCKET_TESTS_SCHEDULER_FAKE_EXECUTOR_H_

#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <unordered_map>
#include <vector>

#include "absl/status/status.h"
#include "runtime/generation_spec.h"
#include "scheduler/scheduler.h"
#include "scheduler/step.h"

namespace hocket {

// What the fake model answers, however it is scheduled.
struct FakeAnswer {
  std::vector<TokenId> tokens;
  std::string text;
  FinishReason reason = FinishReason::kLength;
};
FakeAnswer OfflineAnswer(const std::vector<TokenId>& prompt, const GenerationSpec& spec);
// What is left of it for a run that resumes after its first tokens.
FakeAnswer AnswerAfter(const FakeAnswer& whole, size_t resumed_tokens);

class FakeExecutor final : public Executor {
 public:
  explicit FakeExecutor(const SchedulerSettings& settings);

  absl::Status Execute(const StepPlan& plan, StepResult& result) override;

  // Faults to inject; asked once for each step and each row.
  std::function<absl::Status()> step_fault;
  std::function<absl::Status(const PlanRow&)> row_fault;
  // How many tokens a sampling row may draw at once (as speculation would); at least 1.
  int32_t draws_per_row = 1;

  const std::vector<std::string>& violations() const { return violations_; }
  size_t live_sequences() const { return sequences_.size(); }
  int64_t computed_tokens() const { return computed_tokens_; }

 private:
  using Cell = uint64_t;  // The chain of hashes up to its position.
  struct FakeSequence {
    std::shared_ptr<const GenerationSpec> spec;
    std::shared_ptr<const std::vector<TokenId>> prompt;
    std::vector<TokenId> tokens;  // Prompt and generated.
    std::vector<Cell> chain;      // [tokens]: what each position's cell must hold.
    std::string held_text;

    void Append(TokenId token);
  };

  void Expect(bool holds, const std::string& promise);
  void Admit(const StepPlan& plan);
  void CheckShape(const StepPlan& plan);
  void CheckWrittenBlocks(const StepPlan& plan);
  bool CheckRow(const StepPlan& plan, const PlanRow& row, const FakeSequence& sequence);
  void WriteCells(const StepPlan& plan, const PlanRow& row);
  Cell ReadBack(const StepPlan& plan, const PlanRow& row, const FakeSequence& sequence);
  Outcome Compute(const StepPlan& plan, const PlanRow& row, FakeSequence& sequence);
  void Draw(Cell read, FakeSequence& sequence, Outcome& outcome);

  Cell& CellAt(const StepPlan& plan, const PlanRow& row, int32_t position);

  const SchedulerSettings settings_;
  std::vector<Cell> cells_;          // [total_blocks, block_tokens]
  std::vector<int32_t> table_uses_;  // [total_blocks]: in how many rows of the plan at hand.
  std::unordered_map<SequenceId, FakeSequence> sequences_;
  std::vector<std::string> violations_;
  const StepPlan* plan_ = nullptr;  // At hand.
  int64_t computed_tokens_ = 0;
};

}  // namespace hocket

#endif  // HOCKET_TESTS_SCHEDULER_FAKE_EXECUTOR_H_
