#include "scheduler/sequence.h"

#include <algorithm>
#include <optional>
#include <utility>

#include "scheduler/invariant.h"

namespace hocket {

Sequence::Sequence(SequenceId id, std::shared_ptr<const std::vector<TokenId>> prompt,
                   const std::vector<TokenId>* resumed, int32_t block_tokens, std::string_view salt)
    : id_(id), prompt_(std::move(prompt)), block_tokens_(block_tokens), salt_(salt) {
  if (resumed != nullptr) generated_ = *resumed;
  Invariant(prompt_ != nullptr && !prompt_->empty(), "a prompt has at least one token");
}

int32_t Sequence::BlocksNeeded() const { return BlocksFor(total_tokens()); }

std::span<const TokenId> Sequence::TokensOfBlock(int32_t block,
                                                 std::vector<TokenId>& storage) const {
  const int32_t begin = block * block_tokens_;
  const int32_t end = begin + block_tokens_;
  if (end <= prompt_tokens()) return std::span(*prompt_).subspan(begin, block_tokens_);
  storage.clear();
  for (int32_t position = begin; position < end; ++position) {
    storage.push_back(position < prompt_tokens() ? (*prompt_)[position]
                                                 : generated_[position - prompt_tokens()]);
  }
  return storage;
}

Sequence::CachedPrefix Sequence::FindCached(PrefixCache& cache, int32_t limit) const {
  CachedPrefix found;
  PrefixCache::Entry* entry = nullptr;
  std::vector<TokenId> storage;
  while (cacheable_ && (found.blocks + 1) * block_tokens_ <= limit) {
    entry = cache.Find(entry, salt_, TokensOfBlock(found.blocks, storage));
    if (entry == nullptr) break;
    ++found.blocks;
    if (cache.IsIdle(*entry)) ++found.idle_blocks;
  }
  return found;
}

int32_t Sequence::AdoptCached(PrefixCache& cache, int32_t limit) {
  const int32_t before = computed_tokens_;
  std::vector<TokenId> storage;
  while (cacheable_ && computed_tokens_ == cached_blocks_ * block_tokens_ &&
         computed_tokens_ + block_tokens_ <= limit) {
    PrefixCache::Entry* entry =
        cache.Find(chain_end_, salt_, TokensOfBlock(cached_blocks_, storage));
    if (entry == nullptr) break;
    if (cached_blocks_ < static_cast<int32_t>(block_table_.size())) {
      block_table_[cached_blocks_] = entry->lease().Share();
    } else {
      block_table_.push_back(entry->lease().Share());
    }
    chain_end_ = entry;
    ++cached_blocks_;
    computed_tokens_ += block_tokens_;
  }
  if (computed_tokens_ > reached_tokens_) {
    cached_prompt_tokens_ +=
        std::max(std::min(computed_tokens_, prompt_tokens()) - reached_tokens_, 0);
    reached_tokens_ = computed_tokens_;
  }
  return computed_tokens_ - before;
}

void Sequence::OfferBlocks(PrefixCache& cache) {
  std::vector<TokenId> storage;
  while (cacheable_ && (cached_blocks_ + 1) * block_tokens_ <= computed_tokens_) {
    BlockLease& lease = block_table_[cached_blocks_];
    PrefixCache::Entry* entry =
        cache.Insert(chain_end_, salt_, TokensOfBlock(cached_blocks_, storage), lease);
    if (entry == nullptr) {
      cacheable_ = false;
      return;
    }
    // Whoever is behind an entry holds its block, so that a chain is never cut in its middle.
    if (entry->lease().block() != lease.block()) lease = entry->lease().Share();
    chain_end_ = entry;
    ++cached_blocks_;
  }
}

bool Sequence::LeaseBlocks(PrefixCache& cache) {
  const size_t needed = BlocksNeeded();
  while (block_table_.size() < needed) {
    std::optional<BlockLease> lease = cache.Lease();
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
  chain_end_ = nullptr;
  cached_blocks_ = 0;
}

}  // namespace hocket
