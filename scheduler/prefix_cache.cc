#include "scheduler/prefix_cache.h"

#include <algorithm>

#include "scheduler/invariant.h"

namespace hocket {
namespace {

// The finalizer of splitmix64: every input bit reaches every output bit.
uint64_t Mix(uint64_t value) {
  value = (value ^ (value >> 30)) * 0xbf58476d1ce4e5b9u;
  value = (value ^ (value >> 27)) * 0x94d049bb133111ebu;
  return value ^ (value >> 31);
}

}  // namespace

uint64_t PrefixCache::HashTokens(uint64_t previous, std::span<const TokenId> tokens) {
  uint64_t hash = previous;
  for (const TokenId token : tokens) {
    hash = Mix(hash + 0x9e3779b97f4a7c15u + static_cast<uint32_t>(token));
  }
  return hash;
}

uint64_t PrefixCache::HashOf(Entry* previous, std::string_view salt,
                             std::span<const TokenId> tokens) const {
  if (previous != nullptr) return hash_(previous->hash_, tokens);
  uint64_t start = salt.size();
  for (const char letter : salt) start = Mix(start + static_cast<unsigned char>(letter));
  return hash_(start, tokens);
}

PrefixCache::Entry* PrefixCache::Matching(uint64_t hash, Entry* previous, std::string_view salt,
                                          std::span<const TokenId> tokens) const {
  const auto found = entries_.find(hash);
  if (found == entries_.end()) return nullptr;
  Entry& entry = *found->second;
  const bool same_place =
      entry.previous_ == previous && (previous != nullptr || entry.salt_ == salt);
  return same_place && std::ranges::equal(entry.tokens_, tokens) ? &entry : nullptr;
}

PrefixCache::Entry* PrefixCache::Find(Entry* previous, std::string_view salt,
                                      std::span<const TokenId> tokens) {
  Entry* entry = Matching(HashOf(previous, salt, tokens), previous, salt, tokens);
  if (entry != nullptr) Touch(*entry);
  return entry;
}

PrefixCache::Entry* PrefixCache::Insert(Entry* previous, std::string_view salt,
                                        std::span<const TokenId> tokens, const BlockLease& block) {
  const uint64_t hash = HashOf(previous, salt, tokens);
  if (entries_.contains(hash)) {
    Entry* entry = Matching(hash, previous, salt, tokens);
    if (entry != nullptr) Touch(*entry);
    return entry;
  }
  auto owned = std::make_unique<Entry>();
  Entry& entry = *owned;
  entry.hash_ = hash;
  entry.tokens_.assign(tokens.begin(), tokens.end());
  entry.lease_ = pool_->Keep(block);
  entry.last_use_ = ++uses_;
  if (previous == nullptr) {
    entry.salt_ = salt;
  } else {
    entry.previous_ = previous;
    if (previous->next_entries_++ == 0) leaves_.erase({previous->last_use_, previous});
  }
  leaves_.insert({entry.last_use_, &entry});
  entries_.emplace(hash, std::move(owned));
  return &entry;
}

void PrefixCache::Touch(Entry& entry) {
  const bool leaf = entry.next_entries_ == 0;
  if (leaf) leaves_.erase({entry.last_use_, &entry});
  entry.last_use_ = ++uses_;
  if (leaf) leaves_.insert(leaves_.end(), {entry.last_use_, &entry});
}

std::optional<BlockLease> PrefixCache::Lease() {
  if (pool_->free_blocks() == 0 && pool_->idle_blocks() > 0) Evict();
  return pool_->Lease();
}

void PrefixCache::Evict() {
  // Each leaf that is in use is passed over once and then counts as used now, so that this costs
  // little however many there are. An idle one is certain to come: see the top of the header.
  while (!IsIdle(*leaves_.begin()->second)) Touch(*leaves_.begin()->second);
  Entry& entry = *leaves_.begin()->second;
  leaves_.erase(leaves_.begin());
  if (Entry* previous = entry.previous_; previous != nullptr && --previous->next_entries_ == 0) {
    leaves_.insert({previous->last_use_, previous});
  }
  ++stats_.evictions;
  entries_.erase(entry.hash_);
}

void PrefixCache::CountQuery(bool hit) {
  ++stats_.queries;
  if (hit) ++stats_.hits;
}

void PrefixCache::CheckInvariants(std::vector<int32_t>& holders) const {
  size_t leaves = 0;
  std::unordered_map<const Entry*, int32_t> next_entries;
  for (const auto& [hash, entry] : entries_) {
    Invariant(entry->hash_ == hash && entry->lease_.holds(), "an entry holds its block");
    ++holders[entry->lease_.block()];
    if (entry->next_entries_ == 0) {
      ++leaves;
      Invariant(leaves_.contains({entry->last_use_, entry.get()}), "a leaf is known as one");
    }
    if (entry->previous_ == nullptr) continue;
    ++next_entries[entry->previous_];
    Invariant(entries_.at(entry->previous_->hash_).get() == entry->previous_,
              "the block before an entry is cached too");
    Invariant(IsIdle(*entry) || !IsIdle(*entry->previous_),
              "who uses an entry uses its whole chain");
  }
  Invariant(leaves == leaves_.size(), "only leaves are known as such");
  for (const auto& [entry, count] : next_entries) {
    Invariant(entry->next_entries_ == count, "the entries behind one are counted");
  }
}

}  // namespace hocket
