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
  if (++pool_->holders_[block_] == 2 && pool_->kept_[block_]) --pool_->idle_blocks_;
  return BlockLease(pool_, block_);
}

void BlockLease::Release() {
  BlockPool* pool = std::exchange(pool_, nullptr);
  if (pool == nullptr) return;
  Invariant(pool->holders_[block_] > 0, "a released block is held");
  const int32_t left = --pool->holders_[block_];
  if (left == 1 && pool->kept_[block_]) ++pool->idle_blocks_;
  if (left > 0) return;
  pool->free_.push_back(block_);
  if (pool->kept_[block_]) {
    pool->kept_[block_] = false;
    --pool->idle_blocks_;
  }
}

BlockPool::BlockPool(int32_t total_blocks) : holders_(total_blocks, 0), kept_(total_blocks, false) {
  free_.reserve(total_blocks);
  for (BlockId block = total_blocks - 1; block >= 0; --block) free_.push_back(block);
}

BlockPool::~BlockPool() {
  Invariant(free_blocks() == total_blocks(), "every lease ends before its pool");
}

std::optional<BlockLease> BlockPool::Lease() {
  if (free_.empty()) return std::nullopt;
  const BlockId block = free_.back();
  free_.pop_back();
  Invariant(holders_[block] == 0, "a free block has no holder");
  holders_[block] = 1;
  return BlockLease(this, block);
}

BlockLease BlockPool::Keep(const BlockLease& lease) {
  Invariant(!kept_[lease.block()], "the prefix cache holds a block once");
  BlockLease kept = lease.Share();
  kept_[lease.block()] = true;
  return kept;
}

void BlockPool::CheckInvariants() const {
  std::vector<bool> is_free(holders_.size(), false);
  for (const BlockId block : free_) {
    Invariant(!is_free[block], "a block is free once");
    is_free[block] = true;
  }
  int32_t idle = 0;
  for (size_t block = 0; block < holders_.size(); ++block) {
    Invariant(is_free[block] == (holders_[block] == 0), "a block is free or held, never both");
    Invariant(!kept_[block] || !is_free[block], "a kept block is held");
    if (kept_[block] && holders_[block] == 1) ++idle;
  }
  Invariant(idle == idle_blocks_, "idle blocks are counted");
}

}  // namespace hocket
