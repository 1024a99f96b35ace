#include "runtime/kernels/team.h"

#include <atomic>
#include <vector>

#include "gtest/gtest.h"

namespace hocket {
namespace {

TEST(TeamTest, Run_CallsEveryMemberOnce) {
  for (const int32_t threads : {1, 2, 3, 5}) {
    Team team(threads);
    std::vector<int> calls(threads, 0);
    team.Run([&](TeamMember& member) {
      EXPECT_EQ(member.count(), threads);
      ++calls[member.index()];
    });
    EXPECT_EQ(calls, std::vector<int>(threads, 1));
  }
}

TEST(TeamTest, Share_CoversTheRangeOnceInWholeSteps) {
  for (const int32_t threads : {1, 2, 3, 7}) {
    for (const int64_t n : {0, 1, 5, 64, 100}) {
      for (const int64_t step : {1, 4, 32}) {
        Team team(threads);
        std::vector<IndexRange> shares(threads);
        team.Run([&](TeamMember& member) { shares[member.index()] = member.Share(n, step); });
        int64_t next = 0;
        for (const IndexRange& share : shares) {
          EXPECT_EQ(share.begin, next);
          EXPECT_TRUE(share.begin % step == 0 || share.size() == 0);
          next = share.end;
        }
        EXPECT_EQ(next, n);
      }
    }
  }
}

TEST(TeamTest, Barrier_ShowsWhatOthersWroteBefore) {
  for (const int32_t threads : {2, 3, 4}) {
    Team team(threads);
    std::vector<int64_t> written(threads * 16, 0);
    std::atomic<int> wrong{0};
    team.Run([&](TeamMember& member) {
      for (int64_t round = 1; round <= 2000; ++round) {
        written[member.index() * 16] = round;
        member.Barrier();
        for (int32_t other = 0; other < threads; ++other) {
          if (written[other * 16] != round) ++wrong;
        }
        member.Barrier();
      }
    });
    EXPECT_EQ(wrong, 0) << threads << " threads";
  }
}

TEST(TeamTest, ForEach_CallsEachIndexOnceInEveryPhaseWithOrWithoutBarriers) {
  constexpr int kPhases = 500;
  for (const int32_t threads : {1, 2, 4}) {
    for (const bool barriers : {false, true}) {
      Team team(threads);
      for (int run = 0; run < 2; ++run) {
        std::vector<std::atomic<int>> calls(kPhases * 9);
        team.Run([&](TeamMember& member) {
          for (int phase = 0; phase < kPhases; ++phase) {
            member.ForEach(phase % 10, [&](int64_t i) { ++calls[phase * 9 + i]; });
            if (barriers) member.Barrier();
          }
        });
        for (int phase = 0; phase < kPhases; ++phase) {
          for (int i = 0; i < 9; ++i) {
            ASSERT_EQ(calls[phase * 9 + i], i < phase % 10 ? 1 : 0)
                << threads << " threads, phase " << phase << ", index " << i;
          }
        }
      }
    }
  }
}

}  // namespace
}  // namespace hocket
