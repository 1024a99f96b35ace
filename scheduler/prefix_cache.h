// Finds computed KV blocks again. Each full block that a sequence has computed is entered under the
// hash of its tokens and of the block before it; the first block of a chain also under a salt, so
// that only requests of equal salt meet. A hash only leads to an entry: the tokens, the block
// before and the salt themselves decide, so that a collision costs a hit and nothing else.
//
// The cache holds each entry's block by a lease of its own. A sequence that uses an entry holds the
// blocks of its whole chain, so entries that nobody uses are always leaves or have only unused
// entries behind them, and evicting leaves, the least recently used first, can free all of them.
// Owned by the scheduler; engine thread only.
#ifndef HOCKET_SCHEDULER_PREFIX_CACHE_H_
#define HOCKET_SCHEDULER_PREFIX_CACHE_H_

#include <cstdint>
#include <memory>
#include <optional>
#include <set>
#include <span>
#include <string>
#include <string_view>
#include <unordered_map>
#include <utility>
#include <vector>

#include "scheduler/block_pool.h"
#include "scheduler/step.h"

namespace hocket {

struct PrefixCacheStats {
  int64_t queries = 0;       // Requests that were looked up.
  int64_t hits = 0;          // Of those, the ones that found at least one block.
  int64_t saved_tokens = 0;  // Tokens found and not computed again.
  int64_t evictions = 0;     // Blocks given up for want of free ones.
};

class PrefixCache {
 public:
  class Entry;
  using HashFunction = uint64_t (*)(uint64_t previous, std::span<const TokenId> tokens);
  static uint64_t HashTokens(uint64_t previous, std::span<const TokenId> tokens);

  // `pool` must outlive the cache; `hash` is for tests of collisions.
  explicit PrefixCache(BlockPool* pool, HashFunction hash = &HashTokens)
      : pool_(pool), hash_(hash) {}
  PrefixCache(const PrefixCache&) = delete;
  PrefixCache& operator=(const PrefixCache&) = delete;

  // The entry of the block with exactly these tokens after `previous` (null: first under `salt`),
  // or null. The caller shares its lease before the next Insert or Lease. `salt` matters only where
  // `previous` is null.
  Entry* Find(Entry* previous, std::string_view salt, std::span<const TokenId> tokens);

  // Enters a computed block, or finds the equal one that is already there: its block then has the
  // same bits. Null when another block has the same hash. `previous` is used by the caller.
  Entry* Insert(Entry* previous, std::string_view salt, std::span<const TokenId> tokens,
                const BlockLease& block);

  // A free block, or the least recently used idle one. None when every block is in use.
  std::optional<BlockLease> Lease();

  bool IsIdle(const Entry& entry) const;  // No sequence holds its block.

  // Counts one request's first look-up.
  void CountQuery(bool hit);
  void CountSaved(int64_t tokens) { stats_.saved_tokens += tokens; }
  const PrefixCacheStats& stats() const { return stats_; }

  // Aborts when the entries do not form chains or a leaf is not known as one. Adds one to
  // `holders[block]` for each entry. Linear in the entries.
  void CheckInvariants(std::vector<int32_t>& holders) const;

 private:
  uint64_t HashOf(Entry* previous, std::string_view salt, std::span<const TokenId> tokens) const;
  Entry* Matching(uint64_t hash, Entry* previous, std::string_view salt,
                  std::span<const TokenId> tokens) const;
  void Touch(Entry& entry);
  void Evict();

  BlockPool* const pool_;
  const HashFunction hash_;
  std::unordered_map<uint64_t, std::unique_ptr<Entry>> entries_;  // By hash.
  std::set<std::pair<int64_t, Entry*>> leaves_;  // By last use, which no two entries share.
  int64_t uses_ = 0;
  PrefixCacheStats stats_;
};

class PrefixCache::Entry {
 public:
  const BlockLease& lease() const { return lease_; }

 private:
  friend class PrefixCache;

  uint64_t hash_ = 0;
  Entry* previous_ = nullptr;
  std::string salt_;  // Of a chain's first entry; else empty.
  std::vector<TokenId> tokens_;
  BlockLease lease_;
  int32_t next_entries_ = 0;  // How many name this one as the block before.
  int64_t last_use_ = 0;
};

inline bool PrefixCache::IsIdle(const Entry& entry) const {
  return pool_->holders(entry.lease().block()) == 1;
}

}  // namespace hocket

#endif  // HOCKET_SCHEDULER_PREFIX_CACHE_H_
