#include "service/cli/single_sequence.h"

#include <algorithm>
#include <numeric>
#include <utility>

namespace hocket {

SingleSequence::SingleSequence(Executor* executor, int32_t block_tokens, int32_t max_step_tokens)
    : executor_(executor), block_tokens_(block_tokens), max_step_tokens_(max_step_tokens) {}

absl::StatusOr<TokenId> SingleSequence::Begin(std::vector<TokenId> prompt,
                                              const GenerationSpec& spec) {
  std::vector<SequenceId> ends;
  if (sequence_ > 0) ends.push_back(sequence_);
  ++sequence_;
  position_ = 0;
  const SequenceStart start = {.sequence = sequence_,
                               .group = sequence_,
                               .spec = std::make_shared<const GenerationSpec>(spec),
                               .prompt = std::make_shared<const std::vector<TokenId>>(prompt),
                               .resumed = nullptr};
  const auto size = static_cast<int32_t>(prompt.size());
  while (true) {
    const int32_t count = std::min(max_step_tokens_, size - position_);
    const bool first = position_ == 0;
    const bool last = position_ + count == size;
    const auto begin = prompt.begin() + position_;
    StepPlan plan = NewPlan({begin, begin + count}, last);
    if (first) {
      plan.ends = std::move(ends);
      plan.starts = {start};
    }
    if (last) return Draw(plan);
    if (absl::Status status = Execute(plan); !status.ok()) return status;
  }
}

absl::StatusOr<TokenId> SingleSequence::Continue(TokenId token) {
  return Draw(NewPlan({token}, /*samples=*/true));
}

StepPlan SingleSequence::NewPlan(std::vector<TokenId> tokens, bool samples) {
  StepPlan plan;
  plan.step = ++step_;
  PlanRow row;
  row.sequence = sequence_;
  row.first_position = position_;
  row.token_count = static_cast<int32_t>(tokens.size());
  position_ += row.token_count;
  row.block_count = (position_ + block_tokens_ - 1) / block_tokens_;
  row.samples = samples;
  plan.rows = {row};
  plan.tokens = std::move(tokens);
  plan.blocks.resize(row.block_count);
  std::iota(plan.blocks.begin(), plan.blocks.end(), 0);
  return plan;
}

absl::StatusOr<TokenId> SingleSequence::Draw(const StepPlan& plan) {
  if (absl::Status status = Execute(plan); !status.ok()) return status;
  if (result_.outcomes[0].tokens.size() != 1) {
    return absl::InternalError("the executor drew no token");
  }
  return result_.outcomes[0].tokens[0];
}

absl::Status SingleSequence::Execute(const StepPlan& plan) {
  if (absl::Status status = executor_->Execute(plan, result_); !status.ok()) return status;
  if (result_.outcomes.size() != 1) return absl::InternalError("the executor lost the row");
  return result_.outcomes[0].status;
}

}  // namespace hocket
