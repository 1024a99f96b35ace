// One line of tokens: a prompt, what was generated after it, how far its keys and values are
// computed, and the block table that holds them. Full blocks are taken from the prefix cache where
// it has them, and entered there once computed. Sequences of one request may share blocks: whoever
// writes into one that others hold too does so in a copy. Owned by its request; engine thread only.
#ifndef HOCKET_SCHEDULER_SEQUENCE_H_
#define HOCKET_SCHEDULER_SEQUENCE_H_

#include <algorithm>
#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <string_view>
#include <vector>

#include "scheduler/block_pool.h"
#include "scheduler/prefix_cache.h"
#include "scheduler/prompt_lookup.h"
#include "scheduler/request.h"
#include "scheduler/step.h"

namespace hocket {

class Sequence {
 public:
  // Of `request`, which must outlive the sequence. `max_context_tokens`: at so many tokens a
  // sequence that rolls forgets some.
  Sequence(SequenceId id, const Request& request, int32_t block_tokens, int32_t max_context_tokens);

  SequenceId id() const { return id_; }
  int32_t prompt_tokens() const { return prompt_tokens_; }
  int32_t generated_tokens() const { return generated_tokens_; }  // Resumed ones included.
  std::vector<TokenId> Generated() const;                         // All of them, forgotten or not.
  // What it has now: all that it ever had but for what was forgotten.
  std::span<const TokenId> tokens() const { return tokens_; }
  int32_t total_tokens() const { return static_cast<int32_t>(tokens_.size()); }
  int32_t forgotten_tokens() const { return forgotten_tokens_; }

  // Positions [0, computed_tokens) have their keys and values in the blocks.
  int32_t computed_tokens() const { return computed_tokens_; }
  int32_t pending_tokens() const { return total_tokens() - computed_tokens_; }
  // All is computed but the token drawn last.
  bool decodes() const { return pending_tokens() == 1 && generated_tokens_ > 0; }
  // The furthest that computed_tokens ever was, whatever was given back since.
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
  // computed. Only whole blocks; one of its own that it has begun is given back for them.
  int32_t AdoptCached(PrefixCache& cache, int32_t limit);
  // Enters newly computed full blocks. Where the cache has an equal one, takes that in its place.
  void OfferBlocks(PrefixCache& cache);

  // Leases blocks until the table covers every token and the next row writes into blocks of its own
  // only: one that is shared is left to the others, and a copy is planned. False when no block
  // could be had; what was leased stays.
  bool LeaseBlocks(PrefixCache& cache, std::vector<BlockCopy>& copies);
  int32_t BlocksNeeded() const { return BlocksFor(total_tokens()); }
  int32_t BlocksFor(int32_t tokens) const { return (tokens + block_tokens_ - 1) / block_tokens_; }
  int32_t block_tokens() const { return block_tokens_; }
  std::span<const BlockLease> block_table() const { return block_table_; }

  // Of a sequence that may be guessed. Finds at most `most` tokens that may come next, as many as
  // are worth `relative_cost` (DraftControl::Wanted), and returns how many; the next row may have
  // the first of them.
  bool guesses() const { return drafting_ != nullptr; }
  int32_t Guess(int32_t most, double relative_cost);
  // Leases one block beyond the table. False when none could be had.
  bool LeaseNext(PrefixCache& cache);
  void LearnGuesses(int32_t proposed, int32_t accepted) {
    drafting_->control.Learn(proposed, accepted);
  }

  // Adds a row of `token_count` pending tokens and the first `draft_count` guesses after them to
  // the plan, with their part of the block table.
  void AppendRow(int32_t token_count, int32_t draft_count, bool samples, StepPlan& plan) const;

  void Advance(int32_t token_count);  // So many more tokens are computed.
  // Takes guesses that came true: they are computed.
  void Accept(std::span<const TokenId> tokens);
  // Takes a token that was drawn. With it the context may be full: then the oldest half of what is
  // not kept is forgotten, and all is to be computed again.
  void Append(TokenId token);
  void DropBlocks();      // Gives all blocks back: everything is to be computed again.
  void GiveBlocksBack();  // The same for others' sake.
  // Of the next `token_count` pending tokens, those that were computed before blocks were given
  // back for others' sake.
  int32_t RecomputedAmong(int32_t token_count) const {
    return std::clamp(given_back_tokens_ - computed_tokens_, 0, token_count);
  }

  // All that is computed, for another sequence to go on from.
  struct Computed {
    size_t common_blocks = 0;             // The first ones, which the other has in its table too.
    std::vector<BlockLease> block_table;  // Those after them, held once more.
    int32_t tokens = 0;
    PrefixCache::Entry* chain_end = nullptr;
    int32_t cached_blocks = 0;
    bool cacheable = true;
  };
  Computed ShareComputedWith(const Sequence& other) const;
  // Goes on from there in place of what it had computed itself; its tokens so far must be the same.
  void GoOnFrom(Computed computed);
  // What another sequence of the request generated, in place of its own and as much.
  void TakeGenerated(std::span<const TokenId> tokens);

 private:
  struct Drafting {
    PromptLookup lookup;
    DraftControl control;
    int64_t entered = 0;  // Of all tokens that it ever had, those that the lookup knows.
    std::vector<TokenId> guesses;
  };

  std::span<const TokenId> TokensOfBlock(int32_t block) const {
    return std::span(tokens_).subspan(static_cast<size_t>(block) * block_tokens_, block_tokens_);
  }
  void Roll();

  const SequenceId id_;
  const int32_t prompt_tokens_;
  const int32_t block_tokens_;
  const int32_t max_context_tokens_;
  const std::optional<int32_t> roll_kept_tokens_;
  const std::string_view salt_;  // Of its blocks in the prefix cache.
  std::vector<TokenId> tokens_;
  std::vector<TokenId> history_;  // All that was generated, where tokens_ may forget some.
  std::vector<BlockLease> block_table_;
  std::unique_ptr<Drafting> drafting_;  // Null where nothing is to be guessed.
  int32_t generated_tokens_ = 0;
  int32_t forgotten_tokens_ = 0;
  int32_t computed_tokens_ = 0;
  int32_t reached_tokens_ = 0;
  int32_t given_back_tokens_ = 0;  // The first ones, which GiveBlocksBack uncomputed.
  int32_t cached_prompt_tokens_ = 0;

  // The table's first cached_blocks_ blocks are those of the cache's chain that ends here.
  PrefixCache::Entry* chain_end_ = nullptr;
  int32_t cached_blocks_ = 0;
  bool cacheable_ = true;  // Until another block's hash stands in the way.
};

}  // namespace hocket

#endif  // HOCKET_SCHEDULER_SEQUENCE_H_
