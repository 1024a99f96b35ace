#include "scheduler/sequence.h"

#include <algorithm>
#include <optional>
#include <utility>

#include "scheduler/invariant.h"

namespace hocket {

Sequence::Sequence(SequenceId id, const Request& request, int32_t block_tokens,
                   int32_t max_context_tokens)
    : id_(id),
      prompt_tokens_(static_cast<int32_t>(request.prompt->size())),
      block_tokens_(block_tokens),
      max_context_tokens_(max_context_tokens),
      roll_kept_tokens_(request.roll_kept_tokens),
      salt_(request.cache_salt),
      tokens_(*request.prompt) {
  Invariant(prompt_tokens_ > 0, "a prompt has at least one token");
  if (request.max_draft_tokens > 0) drafting_ = std::make_unique<Drafting>();
  if (request.resumed == nullptr) return;
  for (const TokenId token : *request.resumed) Append(token);
}

std::vector<TokenId> Sequence::Generated() const {
  if (roll_kept_tokens_.has_value()) return history_;
  return std::vector<TokenId>(tokens_.begin() + prompt_tokens_, tokens_.end());
}

Sequence::CachedPrefix Sequence::FindCached(PrefixCache& cache, int32_t limit) const {
  CachedPrefix found;
  PrefixCache::Entry* entry = nullptr;
  while (cacheable_ && (found.blocks + 1) * block_tokens_ <= limit) {
    entry = cache.Find(entry, salt_, TokensOfBlock(found.blocks));
    if (entry == nullptr) break;
    ++found.blocks;
    if (cache.IsIdle(*entry)) ++found.idle_blocks;
  }
  return found;
}

int32_t Sequence::AdoptCached(PrefixCache& cache, int32_t limit) {
  const int32_t before = computed_tokens_;
  while (cacheable_ && (cached_blocks_ + 1) * block_tokens_ <= limit) {
    PrefixCache::Entry* entry = cache.Find(chain_end_, salt_, TokensOfBlock(cached_blocks_));
    if (entry == nullptr) break;
    if (cached_blocks_ < static_cast<int32_t>(block_table_.size())) {
      block_table_[cached_blocks_] = entry->lease().Share();
    } else {
      block_table_.push_back(entry->lease().Share());
    }
    chain_end_ = entry;
    ++cached_blocks_;
    computed_tokens_ = cached_blocks_ * block_tokens_;
  }
  if (computed_tokens_ > reached_tokens_) {
    cached_prompt_tokens_ +=
        std::max(std::min(computed_tokens_, prompt_tokens()) - reached_tokens_, 0);
    reached_tokens_ = computed_tokens_;
  }
  return computed_tokens_ - before;
}

void Sequence::OfferBlocks(PrefixCache& cache) {
  while (cacheable_ && (cached_blocks_ + 1) * block_tokens_ <= computed_tokens_) {
    BlockLease& lease = block_table_[cached_blocks_];
    PrefixCache::Entry* entry =
        cache.Insert(chain_end_, salt_, TokensOfBlock(cached_blocks_), lease);
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

bool Sequence::LeaseBlocks(PrefixCache& cache, std::vector<BlockCopy>& copies) {
  const size_t written = static_cast<size_t>(computed_tokens_ / block_tokens_);
  if (written < block_table_.size() && !block_table_[written].exclusive()) {
    std::optional<BlockLease> lease = cache.Lease();
    if (!lease.has_value()) return false;
    copies.push_back({.source = block_table_[written].block(), .target = lease->block()});
    block_table_[written] = *std::move(lease);
  }
  const size_t needed = BlocksNeeded();
  while (block_table_.size() < needed) {
    if (!LeaseNext(cache)) return false;
  }
  return true;
}

bool Sequence::LeaseNext(PrefixCache& cache) {
  std::optional<BlockLease> lease = cache.Lease();
  if (!lease.has_value()) return false;
  block_table_.push_back(*std::move(lease));
  return true;
}

int32_t Sequence::Guess(int32_t most, double relative_cost) {
  Drafting& drafting = *drafting_;
  const int32_t wanted = drafting.control.Wanted(most, relative_cost);
  drafting.guesses.clear();
  if (wanted == 0) return 0;
  const int64_t ever = int64_t{forgotten_tokens_} + total_tokens();
  const auto fresh = std::min<int64_t>(ever - drafting.entered, total_tokens());
  drafting.lookup.Append(std::span(tokens_).last(static_cast<size_t>(fresh)));
  drafting.entered = ever;
  return drafting.lookup.Propose(wanted, drafting.guesses);
}

void Sequence::AppendRow(int32_t token_count, int32_t draft_count, bool samples,
                         StepPlan& plan) const {
  const int32_t end = computed_tokens_ + token_count;
  const int32_t block_count = BlocksFor(end + draft_count);
  Invariant(token_count > 0 && end <= total_tokens(), "a row has pending tokens only");
  Invariant(block_count <= static_cast<int32_t>(block_table_.size()),
            "a row's positions are covered by its block table");
  Invariant(block_table_[computed_tokens_ / block_tokens_].exclusive(),
            "a row writes into blocks that nobody else holds");
  plan.rows.push_back({.sequence = id_,
                       .first_position = computed_tokens_,
                       .token_begin = static_cast<int32_t>(plan.tokens.size()),
                       .token_count = token_count + draft_count,
                       .block_begin = static_cast<int32_t>(plan.blocks.size()),
                       .block_count = block_count,
                       .samples = samples,
                       .forgotten_tokens = forgotten_tokens_,
                       .draft_tokens = draft_count});
  plan.tokens.insert(plan.tokens.end(), tokens_.begin() + computed_tokens_, tokens_.begin() + end);
  if (draft_count > 0) {
    const auto guesses = drafting_->guesses.begin();
    plan.tokens.insert(plan.tokens.end(), guesses, guesses + draft_count);
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

void Sequence::Accept(std::span<const TokenId> tokens) {
  for (const TokenId token : tokens) Append(token);
  Advance(static_cast<int32_t>(tokens.size()));
}

void Sequence::Append(TokenId token) {
  tokens_.push_back(token);
  ++generated_tokens_;
  if (!roll_kept_tokens_.has_value()) return;
  history_.push_back(token);
  if (total_tokens() >= max_context_tokens_) Roll();
}

void Sequence::Roll() {
  const int32_t forgotten = (total_tokens() - *roll_kept_tokens_) / 2;
  Invariant(forgotten > 0, "a context that rolls has more than the kept tokens");
  const auto oldest = tokens_.begin() + *roll_kept_tokens_;
  tokens_.erase(oldest, oldest + forgotten);
  forgotten_tokens_ += forgotten;
  given_back_tokens_ = 0;  // What is computed again now would be without that, too.
  // Resumed tokens may roll a prompt away that this run never computed; it is then as if told.
  reached_tokens_ = std::max(reached_tokens_, prompt_tokens_);
  DropBlocks();
}

void Sequence::DropBlocks() {
  // Last block first: the pool is a stack, so a recomputed table comes out in the same order.
  while (!block_table_.empty()) block_table_.pop_back();
  computed_tokens_ = 0;
  chain_end_ = nullptr;
  cached_blocks_ = 0;
}

void Sequence::GiveBlocksBack() {
  given_back_tokens_ = std::max(given_back_tokens_, computed_tokens_);
  DropBlocks();
}

Sequence::Computed Sequence::ShareComputedWith(const Sequence& other) const {
  Computed shared{.common_blocks = 0,
                  .block_table = {},
                  .tokens = computed_tokens_,
                  .chain_end = chain_end_,
                  .cached_blocks = cached_blocks_,
                  .cacheable = cacheable_};
  const auto blocks = static_cast<size_t>(BlocksFor(computed_tokens_));
  size_t next = 0;
  while (next < std::min(blocks, other.block_table_.size()) &&
         block_table_[next].block() == other.block_table_[next].block()) {
    ++next;
  }
  shared.common_blocks = next;
  shared.block_table.reserve(blocks - next);
  for (; next < blocks; ++next) shared.block_table.push_back(block_table_[next].Share());
  return shared;
}

void Sequence::GoOnFrom(Computed computed) {
  while (block_table_.size() > computed.common_blocks) block_table_.pop_back();
  for (BlockLease& lease : computed.block_table) block_table_.push_back(std::move(lease));
  chain_end_ = computed.chain_end;
  cached_blocks_ = computed.cached_blocks;
  cacheable_ = computed.cacheable;
  computed_tokens_ = 0;
  Advance(computed.tokens);
}

void Sequence::TakeGenerated(std::span<const TokenId> tokens) {
  Invariant(static_cast<int32_t>(tokens.size()) == generated_tokens_ && forgotten_tokens_ == 0,
            "sequences that step together are of one length");
  std::ranges::copy(tokens, tokens_.begin() + prompt_tokens_);
}

}  // namespace hocket
