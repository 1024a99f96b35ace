#include "scheduler/sequence.h"

#include <algorithm>
#include <optional>
#include <utility>

#include "scheduler/invariant.h"

namespace hocket {

Sequence::Sequence(SequenceId id, std::shared_ptr<const std::vector<TokenId>> prompt,
                   int32_t block_tokens)
    : id_(id), prompt_(std::move(prompt)), block_tokens_(block_tokens) {
  Invariant(prompt_ != nullptr && !prompt_->empty(), "a prompt has at least one token");
}

int32_t Sequence::BlocksNeeded() const { return BlocksFor(total_tokens()); }

bool Sequence::LeaseBlocks(BlockPool& pool) {
  const size_t needed = BlocksNeeded();
  while (block_table_.size() < needed) {
    std::optional<BlockLease> lease = pool.Lease();
    if (!lease.has_value()) return false;
    block_table_.push_back(*std::move(lease));
  }
  return true;
}

void Sequence::AppendRow(int32_t token_count, bool samples, StepPlan& plan) const {
  const int32_t end = computed_tokens_ + token_count;
  const int32_t block_count = BlocksFor(end);
  Invariant(token_count > 0 && end <= total_tokens(), "a row has pending tokens only");
  Invariant(block_count <= static_cast<int32_t>(block_table_.size()),
            "a row's positions are covered by its block table");
  plan.rows.push_back({.sequence = id_,
                       .first_position = computed_tokens_,
                       .token_begin = static_cast<int32_t>(plan.tokens.size()),
                       .token_count = token_count,
                       .block_begin = static_cast<int32_t>(plan.blocks.size()),
                       .block_count = block_count,
                       .samples = samples});
  const int32_t prompt_end = std::min(end, prompt_tokens());
  if (computed_tokens_ < prompt_end) {
    plan.tokens.insert(plan.tokens.end(), prompt_->begin() + computed_tokens_,
                       prompt_->begin() + prompt_end);
  }
  const int32_t generated_begin = std::max(computed_tokens_, prompt_tokens()) - prompt_tokens();
  if (end > prompt_tokens()) {
    plan.tokens.insert(plan.tokens.end(), generated_.begin() + generated_begin,
                       generated_.begin() + (end - prompt_tokens()));
  }
  const size_t block_begin = plan.blocks.size();
  plan.blocks.resize(block_begin + block_count);
  for (int32_t i = 0; i < block_count; ++i) plan.blocks[block_begin + i] = block_table_[i].block();
}

void Sequence::Advance(int32_t token_count) {
  computed_tokens_ += token_count;
  Invariant(computed_tokens_ <= total_tokens(), "only known tokens are computed");
  reached_tokens_ = std::max(reached_tokens_, computed_tokens_);
}

void Sequence::Append(std::span<const TokenId> tokens) {
  generated_.insert(generated_.end(), tokens.begin(), tokens.end());
}

void Sequence::DropBlocks() {
  // Last block first: the pool is a stack, so a recomputed table comes out in the same order.
  while (!block_table_.empty()) block_table_.pop_back();
  computed_tokens_ = 0;
}

}  // namespace hocket
