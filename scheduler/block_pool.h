// Hands out KV blocks and counts who holds them. A BlockLease is one hold on one block, given back
// by its destructor; a block is free again when its last lease is gone. The prefix cache's holds
// are counted apart: a block that it alone holds is idle, and can be had by evicting it. Every
// operation is O(1). Owned by the scheduler and used on the engine thread only; the pool must
// outlive its leases.
#ifndef HOCKET_SCHEDULER_BLOCK_POOL_H_
#define HOCKET_SCHEDULER_BLOCK_POOL_H_

#include <cstdint>
#include <optional>
#include <utility>
#include <vector>

#include "scheduler/step.h"

namespace hocket {

class BlockPool;

class BlockLease {
 public:
  BlockLease() = default;
  BlockLease(BlockLease&& other) noexcept
      : pool_(std::exchange(other.pool_, nullptr)), block_(other.block_) {}
  BlockLease& operator=(BlockLease&& other) noexcept;
  BlockLease(const BlockLease&) = delete;
  BlockLease& operator=(const BlockLease&) = delete;
  ~BlockLease() { Release(); }

  BlockId block() const { return block_; }  // Of a lease that holds one.
  bool holds() const { return pool_ != nullptr; }
  bool exclusive() const;  // Nobody else holds the block, the prefix cache neither.

  BlockLease Share() const;  // One more hold on the same block.
  void Release();            // Gives the block back now.

 private:
  friend class BlockPool;
  BlockLease(BlockPool* pool, BlockId block) : pool_(pool), block_(block) {}

  BlockPool* pool_ = nullptr;
  BlockId block_ = 0;
};

class BlockPool {
 public:
  explicit BlockPool(int32_t total_blocks);  // Blocks 0 .. total_blocks - 1, all free.
  ~BlockPool();                              // Aborts when a lease is still out.
  BlockPool(const BlockPool&) = delete;
  BlockPool& operator=(const BlockPool&) = delete;

  std::optional<BlockLease> Lease();  // None when no block is free.

  // One more hold on the same block, the prefix cache's: at most one for a block, and it must be
  // the last that is released.
  BlockLease Keep(const BlockLease& lease);

  int32_t total_blocks() const { return static_cast<int32_t>(holders_.size()); }
  int32_t free_blocks() const { return static_cast<int32_t>(free_.size()); }
  int32_t idle_blocks() const { return idle_blocks_; }  // Held by the prefix cache alone.
  int32_t available_blocks() const { return free_blocks() + idle_blocks(); }
  int32_t used_blocks() const { return total_blocks() - available_blocks(); }
  int32_t holders(BlockId block) const { return holders_[block]; }

  // Aborts unless the free blocks are exactly those that nobody holds, and the idle ones are
  // counted. Linear in the blocks.
  void CheckInvariants() const;

 private:
  friend class BlockLease;

  std::vector<int32_t> holders_;  // [total_blocks]
  std::vector<bool> kept_;        // [total_blocks]: one of the holders is the prefix cache.
  std::vector<BlockId> free_;     // A stack: the block given back last is warm in the CPU's cache.
  int32_t idle_blocks_ = 0;
};

inline bool BlockLease::exclusive() const { return pool_->holders(block_) == 1; }

}  // namespace hocket

#endif  // HOCKET_SCHEDULER_BLOCK_POOL_H_
