#include "scheduler/block_pool.h"

#include "scheduler/invariant.h"

namespace hocket {

BlockLease& BlockLease::operator=(BlockLease&& other) noexcept {
  if (this != &other) {
    Release();
    pool_ = std::exchange(other.pool_, nullptr);
    block_ = other.block_;
  }
  return *this;
}

BlockLease BlockLease::Share() const {
  Invariant(holds(), "only a held block is shared");
  ++pool_->holders_[block_];
  return BlockLease(pool_, block_);
}

void BlockLease::Release() {
  BlockPool* pool = std::exchange(pool_, nullptr);
  if (pool == nullptr) return;
  Invariant(pool->holders_[block_] > 0, "a released block is held");
  if (--pool->holders_[block_] == 0) pool->free_.push_back(block_);
}

BlockPool::BlockPool(int32_t total_blocks) : holders_(total_blocks, 0) {
  free_.reserve(total_blocks);
  for (BlockId block = total_blocks - 1; block >= 0; --block) free_.push_back(block);
}

BlockPool::~BlockPool() { Invariant(used_blocks() == 0, "every lease ends before its pool"); }

std::optional<BlockLease> BlockPool::Lease() {
  if (free_.empty()) return std::nullopt;
  const BlockId block = free_.back();
  free_.pop_back();
  Invariant(holders_[block] == 0, "a free block has no holder");
  holders_[block] = 1;
  return BlockLease(this, block);
}

void BlockPool::CheckInvariants() const {
  std::vector<bool> is_free(holders_.size(), false);
  for (const BlockId block : free_) {
    Invariant(!is_free[block], "a block is free once");
    is_free[block] = true;
  }
  for (size_t block = 0; block < holders_.size(); ++block) {
    Invariant(is_free[block] == (holders_[block] == 0), "a block is free or held, never both");
  }
}

}  // namespace hocket
