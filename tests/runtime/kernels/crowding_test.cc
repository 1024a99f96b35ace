#include "runtime/kernels/crowding.h"

#include <optional>

#include "gtest/gtest.h"

namespace hocket {
namespace {

constexpr int64_t kMillisecond = 1'000'000;

// Runs of 10 ms for `milliseconds`, in which some member has no CPU for `delayed` of the time.
void Pass(Crowding& crowding, int64_t& now, int64_t milliseconds, double delayed) {
  for (int64_t end = now + milliseconds * kMillisecond; now < end;) {
    now += 10 * kMillisecond;
    crowding.Observe(now, 10 * kMillisecond, static_cast<int64_t>(delayed * 10 * kMillisecond));
  }
}

TEST(CrowdingTest, AllThreadsServeWhileTheMachineIsQuiet) {
  Crowding crowding(4);
  int64_t now = 0;
  Pass(crowding, now, 5000, 0.15);
  EXPECT_EQ(crowding.members(), 4);
}

TEST(CrowdingTest, OneLongWaitIsNoSign) {
  Crowding crowding(2);
  int64_t now = 0;
  Pass(crowding, now, 1000, 0.05);
  Pass(crowding, now, 10, 0.6);
  EXPECT_EQ(crowding.members(), 2);
}

TEST(CrowdingTest, LongWaitsTakeAMemberAwayAtATime) {
  Crowding crowding(3);
  int64_t now = 0;
  Pass(crowding, now, 120, 0.8);
  EXPECT_EQ(crowding.members(), 2);
  Pass(crowding, now, 60, 0.05);
  EXPECT_EQ(crowding.members(), 2);
}

// Looks for room every 100 ms of `milliseconds`; meanwhile runs take `running` of the time, and
// CPUs, added up, are idle for `idle` of it.
void Look(Crowding& crowding, int64_t& now, int64_t milliseconds, double running, double idle) {
  constexpr int64_t kLook = 100 * kMillisecond;
  for (int64_t passed = 0; passed < milliseconds * kMillisecond; passed += kLook) {
    now += kLook;
    crowding.Observe(now, static_cast<int64_t>(running * kLook), 0);
    crowding.ObserveIdle(now, static_cast<int64_t>(idle * kLook));
  }
}

TEST(CrowdingTest, NoTrialIsMadeBesideANeighbourThatStays) {
  Crowding crowding(2);
  int64_t now = 0;
  Pass(crowding, now, 500, 0.8);
  Look(crowding, now, 60'000, 1, 0.1);
  EXPECT_EQ(crowding.members(), 1);
}

TEST(CrowdingTest, AMemberComesBackWhereACpuStandsIdle) {
  Crowding crowding(2);
  int64_t now = 0;
  Pass(crowding, now, 500, 0.8);
  ASSERT_EQ(crowding.members(), 1);
  Look(crowding, now, 200, 1, 0.9);
  EXPECT_EQ(crowding.members(), 2);
}

TEST(CrowdingTest, TheMembersOwnPausesAreNoRoom) {
  Crowding crowding(3);
  int64_t now = 0;
  Pass(crowding, now, 120, 0.8);
  ASSERT_EQ(crowding.members(), 2);
  Look(crowding, now, 5000, 0.3, 1.4);
  EXPECT_EQ(crowding.members(), 2);
}

TEST(CrowdingTest, WhereTheSystemSaysNothingOneMoreIsTriedNowAndThen) {
  Crowding crowding(2);
  int64_t now = 0;
  int64_t together = 0;
  for (int step = 0; step < 1000; ++step) {
    const bool both = crowding.members() == 2;
    together += both;
    now += 10 * kMillisecond;
    crowding.Observe(now, 10 * kMillisecond, both ? 7 * kMillisecond : 0);
    if (!both) crowding.ObserveIdle(now, std::nullopt);
  }
  EXPECT_LT(together, 120);
  EXPECT_GT(together, 20);
}

TEST(CrowdingTest, ALoneThreadStays) {
  Crowding crowding(1);
  int64_t now = 0;
  Pass(crowding, now, 3000, 0.9);
  EXPECT_EQ(crowding.members(), 1);
}

}  // namespace
}  // namespace hocket
