// One line of tokens: a prompt, what was generated after it, how far its keys and values are
// computed, and the block table that holds them. Full blocks are taken from the prefix cache where
// it has them, and entered there once computed. Owned by its request; engine thread only.
#ifndef HOCKET_SCHEDULER_SEQUENCE_H_
#define HOCKET_SCHEDULER_SEQUENCE_H_

#include <cstdint>
#include <memory>
#include <span>
#include <string_view>
#include <vector>

#include "scheduler/block_pool.h"
#include "scheduler/prefix_cache.h"
#include "scheduler/step.h"

namespace hocket {

class Sequence {
 public:
  // `resumed` (may be null): generated before, by another run. `salt`: of its blocks in the prefix
  // cache; it must outlive the sequence.
  Sequence(SequenceId id, std::shared_ptr<const std::vector<TokenId>> prompt,
           const std::vector<TokenId>* resumed, int32_t block_tokens, std::string_view salt);

  SequenceId id() const { return id_; }
  const std::shared_ptr<const std::vector<TokenId>>& prompt() const { return prompt_; }
  int32_t prompt_tokens() const { return static_cast<int32_t>(prompt_->size()); }
  int32_t generated_tokens() const { return static_cast<int32_t>(generated_.size()); }
  std::span<const TokenId> generated() const { return generated_; }
  int32_t total_tokens() const { return prompt_tokens() + generated_tokens(); }

  // Positions [0, computed_tokens) have their keys and values in the blocks.
  int32_t computed_tokens() const { return computed_tokens_; }
  int32_t pending_tokens() const { return total_tokens() - computed_tokens_; }
  // All is computed but the token drawn last.
  bool decodes() const { return pending_tokens() == 1 && !generated_.empty(); }
  // The furthest that computed_tokens ever was, preemptions included.
  int32_t reached_tokens() const { return reached_tokens_; }
  // Prompt tokens that came from the cache and were never computed for this sequence.
  int32_t cached_prompt_tokens() const { return cached_prompt_tokens_; }

  // What AdoptCached would find for a sequence without blocks.
  struct CachedPrefix {
    int32_t blocks = 0;
    int32_t idle_blocks = 0;  // Of those, the ones that no other sequence holds.
  };
  CachedPrefix FindCached(PrefixCache& cache, int32_t limit) const;
  // Goes on with cached blocks, but not past `limit` tokens, and returns how many tokens that made
  // computed. Only whole blocks, and only while all that is computed lies in cached blocks.
  int32_t AdoptCached(PrefixCache& cache, int32_t limit);
  // Enters newly computed full blocks. Where the cache has an equal one, takes that in its place.
  void OfferBlocks(PrefixCache& cache);

  // Leases blocks until the table covers every token. False when none could be had; what was leased
  // stays.
  bool LeaseBlocks(PrefixCache& cache);
  int32_t BlocksNeeded() const;  // For every token, those already leased included.
  std::span<const BlockLease> block_table() const { return block_table_; }

  // Adds a row of `token_count` pending tokens to the plan, with their part of the block table.
  void AppendRow(int32_t token_count, bool samples, StepPlan& plan) const;

  void Advance(int32_t token_count);  // So many more tokens are computed.
  void Append(std::span<const TokenId> tokens);
  void DropBlocks();  // Gives all blocks back: everything is to be computed again.

 private:
  int32_t BlocksFor(int32_t tokens) const { return (tokens + block_tokens_ - 1) / block_tokens_; }
  std::span<const TokenId> TokensOfBlock(int32_t block, std::vector<TokenId>& storage) const;

  const SequenceId id_;
  const std::shared_ptr<const std::vector<TokenId>> prompt_;
  const int32_t block_tokens_;
  const std::string_view salt_;
  std::vector<TokenId> generated_;
  std::vector<BlockLease> block_table_;
  int32_t computed_tokens_ = 0;
  int32_t reached_tokens_ = 0;
  int32_t cached_prompt_tokens_ = 0;

  // The table's first cached_blocks_ blocks are those of the cache's chain that ends here.
  PrefixCache::Entry* chain_end_ = nullptr;
  int32_t cached_blocks_ = 0;
  bool cacheable_ = true;  // Until another block's hash stands in the way.
};

}  // namespace hocket

#endif  // HOCKET_SCHEDULER_SEQUENCE_H_
