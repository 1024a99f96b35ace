#include "scheduler/block_pool.h"

#include <gtest/gtest.h>

#include <set>
#include <utility>
#include <vector>

namespace hocket {
namespace {

TEST(BlockPool, LeasesEachBlockOnceUntilNoneIsLeft) {
  BlockPool pool(5);
  std::vector<BlockLease> leases;
  std::set<BlockId> blocks;
  while (auto lease = pool.Lease()) {
    blocks.insert(lease->block());
    leases.push_back(*std::move(lease));
  }
  EXPECT_EQ(blocks, (std::set<BlockId>{0, 1, 2, 3, 4}));
  EXPECT_EQ(pool.free_blocks(), 0);
  EXPECT_EQ(pool.used_blocks(), 5);
  pool.CheckInvariants();
}

TEST(BlockPool, TakesABlockBackWhenItsLeaseIsDestroyed) {
  BlockPool pool(1);
  { const auto lease = pool.Lease(); }
  EXPECT_EQ(pool.free_blocks(), 1);
  EXPECT_TRUE(pool.Lease().has_value());
}

TEST(BlockPool, KeepsASharedBlockUntilItsLastLeaseIsGone) {
  BlockPool pool(2);
  BlockLease first = *pool.Lease();
  BlockLease second = first.Share();
  EXPECT_EQ(second.block(), first.block());
  EXPECT_EQ(pool.holders(first.block()), 2);
  first.Release();
  EXPECT_EQ(pool.used_blocks(), 1);
  pool.CheckInvariants();
  second.Release();
  EXPECT_EQ(pool.used_blocks(), 0);
  pool.CheckInvariants();
}

TEST(BlockLease, MovesItsHoldWithoutGivingItBack) {
  BlockPool pool(2);
  BlockLease first = *pool.Lease();
  const BlockId block = first.block();
  BlockLease second = std::move(first);
  EXPECT_FALSE(first.holds());  // NOLINT(bugprone-use-after-move): that is what is tested.
  EXPECT_EQ(second.block(), block);
  EXPECT_EQ(pool.holders(block), 1);
}

TEST(BlockLease, AssignmentGivesBackWhatItHeldBefore) {
  BlockPool pool(2);
  BlockLease first = *pool.Lease();
  BlockLease second = *pool.Lease();
  const BlockId kept = second.block();
  first = std::move(second);
  EXPECT_EQ(first.block(), kept);
  EXPECT_EQ(pool.used_blocks(), 1);
}

TEST(BlockLease, ReleasesOnce) {
  BlockPool pool(1);
  BlockLease lease = *pool.Lease();
  lease.Release();
  lease.Release();
  EXPECT_EQ(pool.free_blocks(), 1);
  pool.CheckInvariants();
}

TEST(BlockPoolDeathTest, AbortsWhenALeaseOutlivesIt) {
  EXPECT_DEATH(
      {
        BlockLease lease;
        BlockPool pool(1);
        lease = *pool.Lease();
      },
      "every lease ends before its pool");
}

}  // namespace
}  // namespace hocket
