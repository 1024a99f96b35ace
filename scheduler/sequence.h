// One line of tokens: a prompt, what was generated after it, how far its keys and values are
// computed, and the block table that holds them. Owned by its request; engine thread only.
#ifndef HOCKET_SCHEDULER_SEQUENCE_H_
#define HOCKET_SCHEDULER_SEQUENCE_H_

#include <cstdint>
#include <memory>
#include <span>
#include <vector>

#include "scheduler/block_pool.h"
#include "scheduler/step.h"

namespace hocket {

class Sequence {
 public:
  Sequence(SequenceId id, std::shared_ptr<const std::vector<TokenId>> prompt, int32_t block_tokens);

  SequenceId id() const { return id_; }
  const std::shared_ptr<const std::vector<TokenId>>& prompt() const { return prompt_; }
  int32_t prompt_tokens() const { return static_cast<int32_t>(prompt_->size()); }
  int32_t generated_tokens() const { return static_cast<int32_t>(generated_.size()); }
  int32_t total_tokens() const { return prompt_tokens() + generated_tokens(); }

  // Positions [0, computed_tokens) have their keys and values in the blocks.
  int32_t computed_tokens() const { return computed_tokens_; }
  int32_t pending_tokens() const { return total_tokens() - computed_tokens_; }
  // All is computed but the token drawn last.
  bool decodes() const { return pending_tokens() == 1 && !generated_.empty(); }
  // The furthest that computed_tokens ever was, preemptions included.
  int32_t reached_tokens() const { return reached_tokens_; }

  // Leases blocks until the table covers every token. False when the pool ran out first; what was
  // leased stays.
  bool LeaseBlocks(BlockPool& pool);
  int32_t BlocksNeeded() const;  // For every token, those already leased included.
  std::span<const BlockLease> block_table() const { return block_table_; }

  // Adds a row of `token_count` pending tokens to the plan, with their part of the block table.
  void AppendRow(int32_t token_count, bool samples, StepPlan& plan) const;

  void Advance(int32_t token_count);  // So many more tokens are computed.
  void Append(std::span<const TokenId> tokens);
  void DropBlocks();  // Gives all blocks back: everything is to be computed again.

 private:
  int32_t BlocksFor(int32_t tokens) const { return (tokens + block_tokens_ - 1) / block_tokens_; }

  const SequenceId id_;
  const std::shared_ptr<const std::vector<TokenId>> prompt_;
  const int32_t block_tokens_;
  std::vector<TokenId> generated_;
  std::vector<BlockLease> block_table_;
  int32_t computed_tokens_ = 0;
  int32_t reached_tokens_ = 0;
};

}  // namespace hocket

#endif  // HOCKET_SCHEDULER_SEQUENCE_H_
