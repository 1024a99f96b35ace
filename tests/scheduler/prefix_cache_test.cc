// Blocks that are found again: what is found, for whom, what gives way, and that no answer changes.
#include "scheduler/prefix_cache.h"

#include <gtest/gtest.h>

#include "stepped_scheduler.h"

namespace hocket {
namespace {

SchedulerSettings CachingSettings(int32_t total_blocks = 64) {
  SchedulerSettings settings = SmallSettings();
  settings.total_blocks = total_blocks;
  settings.prefix_cache = true;
  return settings;
}

// Runs a request alone, from its start to its end, and checks its answer.
Usage RunAlone(SteppedScheduler& stepped, const RequestShape& shape) {
  const RecordedRequest request(shape);
  EXPECT_TRUE(stepped.Add(request).ok());
  stepped.RunDry();
  ExpectOfflineAnswer(request);
  return request.sink->Get().finished.usage;
}

TEST(PrefixCaching, ComputesASharedPrefixOnce) {
  SteppedScheduler stepped(CachingSettings());
  EXPECT_EQ(RunAlone(stepped, {.prompt = PromptOf(14)}).cached_tokens, 0);
  std::vector<TokenId> prompt = PromptOf(14);
  prompt.push_back(777);
  EXPECT_EQ(RunAlone(stepped, {.prompt = prompt, .seed = 5}).cached_tokens, 12);
  const PrefixCacheStats stats = stepped.scheduler.Stats().prefix_cache;
  EXPECT_EQ(stats.queries, 2);
  EXPECT_EQ(stats.hits, 1);
  EXPECT_EQ(stats.saved_tokens, 12);
}

TEST(PrefixCaching, AlwaysComputesTheLastPromptToken) {
  SteppedScheduler stepped(CachingSettings());
  RunAlone(stepped, {.prompt = PromptOf(12)});
  EXPECT_EQ(RunAlone(stepped, {.prompt = PromptOf(12)}).cached_tokens, 8);
}

TEST(PrefixCaching, TellsTheSinkAtTheStart) {
  SteppedScheduler stepped(CachingSettings());
  RunAlone(stepped, {.prompt = PromptOf(14)});
  const RecordedRequest again({.prompt = PromptOf(14)});
  ASSERT_TRUE(stepped.Add(again).ok());
  const StepPlan plan = stepped.Step();
  ASSERT_EQ(plan.rows.size(), 1u);
  EXPECT_EQ(plan.rows[0].first_position, 12);
  EXPECT_EQ(plan.rows[0].token_count, 2);
  EXPECT_EQ(again.sink->Get().started->cached_tokens, 12);
  stepped.RunDry();
}

TEST(PrefixCaching, FindsGeneratedTokensInTheNextTurn) {
  SteppedScheduler stepped(CachingSettings());
  const RecordedRequest first({.prompt = PromptOf(10), .max_new_tokens = 12});
  ASSERT_TRUE(stepped.Add(first).ok());
  stepped.RunDry();
  std::vector<TokenId> next_turn = PromptOf(10);
  for (const TokenId token : first.sink->Get().tokens) next_turn.push_back(token);
  next_turn.push_back(500);
  // 22 tokens were known, 21 computed: five blocks of four.
  EXPECT_EQ(RunAlone(stepped, {.prompt = next_turn}).cached_tokens, 20);
}

TEST(PrefixCaching, KeepsSaltsApart) {
  SteppedScheduler stepped(CachingSettings());
  RunAlone(stepped, {.prompt = PromptOf(14), .cache_salt = "a"});
  EXPECT_EQ(RunAlone(stepped, {.prompt = PromptOf(14), .cache_salt = "b"}).cached_tokens, 0);
  EXPECT_EQ(RunAlone(stepped, {.prompt = PromptOf(14), .cache_salt = ""}).cached_tokens, 0);
  EXPECT_EQ(RunAlone(stepped, {.prompt = PromptOf(14), .cache_salt = "a"}).cached_tokens, 12);
}

TEST(PrefixCaching, SharesBlocksWhileBothRun) {
  SteppedScheduler stepped(CachingSettings());
  const RecordedRequest a({.id = "a", .prompt = PromptOf(12), .max_new_tokens = 10});
  const RecordedRequest b({.id = "b", .prompt = PromptOf(12), .max_new_tokens = 10, .seed = 1});
  ASSERT_TRUE(stepped.Add(a).ok());
  stepped.Step();
  ASSERT_TRUE(stepped.Add(b).ok());
  stepped.Step();
  stepped.Step();
  EXPECT_EQ(stepped.scheduler.Stats().used_blocks, 5) << "the prompt's three are shared";
  stepped.RunDry();
  ExpectOfflineAnswer(a);
  ExpectOfflineAnswer(b);
}

TEST(PrefixCaching, TakesUpWhatANeighbourComputedMeanwhile) {
  SchedulerSettings settings = CachingSettings();
  settings.max_step_tokens = 10;
  SteppedScheduler stepped(settings);
  const RecordedRequest a({.id = "a", .prompt = PromptOf(15), .max_new_tokens = 1});
  const RecordedRequest b({.id = "b", .prompt = PromptOf(15), .max_new_tokens = 1});
  ASSERT_TRUE(stepped.Add(a).ok());
  ASSERT_TRUE(stepped.Add(b).ok());
  EXPECT_EQ(stepped.Step().tokens.size(), 10u);  // All of a's.
  EXPECT_EQ(stepped.Step().tokens.size(), 10u);  // Five of a's, and b from its position 8.
  EXPECT_EQ(b.sink->Get().started->cached_tokens, 8);
  stepped.RunDry();
  ExpectOfflineAnswer(b);
}

TEST(PrefixCaching, ComputesEachPositionOfWhichScoresAreWanted) {
  SteppedScheduler stepped(CachingSettings());
  RunAlone(stepped, {.prompt = PromptOf(14)});
  const RecordedRequest scored(
      {.prompt = PromptOf(14), .max_new_tokens = 0, .prompt_scores = true});
  ASSERT_TRUE(stepped.Add(scored).ok());
  stepped.RunDry();
  EXPECT_EQ(scored.sink->Get().prompt_scores.size(), 13u);
  EXPECT_EQ(scored.sink->Get().finished.usage.cached_tokens, 0);
}

TEST(PrefixCaching, GivesIdleBlocksUpForThoseWhoNeedThem) {
  SteppedScheduler stepped(CachingSettings(8));
  RunAlone(stepped, {.prompt = PromptOf(12, 100)});
  EXPECT_EQ(stepped.scheduler.Stats().used_blocks, 0);
  EXPECT_EQ(stepped.scheduler.Stats().cached_blocks, 3);
  RunAlone(stepped, {.prompt = PromptOf(29, 200), .max_new_tokens = 4});
  EXPECT_GE(stepped.scheduler.Stats().prefix_cache.evictions, 3);
  EXPECT_EQ(RunAlone(stepped, {.prompt = PromptOf(12, 100)}).cached_tokens, 0);
}

TEST(PrefixCaching, LetsAPreemptedSequenceFindWhatIsLeftOfItsBlocks) {
  SteppedScheduler with_cache(CachingSettings(8));
  SchedulerSettings settings = CachingSettings(8);
  settings.prefix_cache = false;
  SteppedScheduler without_cache(settings);
  for (SteppedScheduler* stepped : {&with_cache, &without_cache}) {
    const RecordedRequest old({.id = "old", .prompt = PromptOf(4), .max_new_tokens = 16});
    const RecordedRequest young({.id = "young", .prompt = PromptOf(5, 50), .max_new_tokens = 24});
    ASSERT_TRUE(stepped->Add(old).ok());
    ASSERT_TRUE(stepped->Add(young).ok());
    stepped->RunDry();
    EXPECT_GT(stepped->scheduler.Stats().preemptions, 0);
    ExpectOfflineAnswer(old);
    ExpectOfflineAnswer(young);
    EXPECT_EQ(young.sink->Get().finished.usage.cached_tokens, 0) << "it computed them itself";
  }
  EXPECT_LT(with_cache.executor.computed_tokens(), without_cache.executor.computed_tokens());
}

uint64_t CollidingHash(uint64_t, std::span<const TokenId> tokens) { return tokens.size(); }

class PrefixCacheTest : public ::testing::Test {
 protected:
  // A chain's next block, computed by a sequence that goes on holding it.
  PrefixCache::Entry* Add(PrefixCache& cache, PrefixCache::Entry* previous, TokenId token,
                          std::string_view salt = "") {
    const TokenId tokens[] = {token};
    held_.push_back(*cache.Lease());
    PrefixCache::Entry* entry = cache.Insert(previous, salt, tokens, held_.back());
    CheckInvariants(cache);
    return entry;
  }
  PrefixCache::Entry* Find(PrefixCache& cache, PrefixCache::Entry* previous, TokenId token,
                           std::string_view salt = "") {
    const TokenId tokens[] = {token};
    return cache.Find(previous, salt, tokens);
  }
  void CheckInvariants(PrefixCache& cache) {
    pool_.CheckInvariants();
    std::vector<int32_t> holders(pool_.total_blocks());
    cache.CheckInvariants(holders);
  }

  BlockPool pool_{4};
  std::vector<BlockLease> held_;
};

TEST_F(PrefixCacheTest, TellsBlocksOfOneHashApartByTheirTokensPlaceAndSalt) {
  PrefixCache cache(&pool_, &CollidingHash);
  PrefixCache::Entry* first = Add(cache, nullptr, 7, "salt");
  ASSERT_NE(first, nullptr);
  EXPECT_EQ(Find(cache, nullptr, 7, "salt"), first);
  EXPECT_EQ(Find(cache, nullptr, 8, "salt"), nullptr);
  EXPECT_EQ(Find(cache, nullptr, 7, "other"), nullptr);
  EXPECT_EQ(Find(cache, first, 7), nullptr);
  EXPECT_EQ(Add(cache, first, 9), nullptr) << "its hash is taken";
  EXPECT_EQ(Find(cache, nullptr, 7, "salt"), first);
  held_.clear();
}

TEST_F(PrefixCacheTest, EvictsTheLeastRecentlyUsedLeafFirst) {
  PrefixCache cache(&pool_);
  PrefixCache::Entry* root = Add(cache, nullptr, 1);
  PrefixCache::Entry* left = Add(cache, root, 2);
  PrefixCache::Entry* right = Add(cache, root, 3);
  PrefixCache::Entry* deeper = Add(cache, left, 4);
  ASSERT_TRUE(root && left && right && deeper);
  held_.clear();
  EXPECT_EQ(pool_.idle_blocks(), 4);
  EXPECT_EQ(Find(cache, root, 3), right);
  for (const TokenId gone : {4, 2, 3, 1}) {
    EXPECT_NE(Find(cache, gone == 4 ? left : gone == 1 ? nullptr : root, gone), nullptr);
    if (gone != 3 && gone != 1) Find(cache, root, 3);
    const BlockLease lease = *cache.Lease();
    held_.push_back(lease.Share());
    CheckInvariants(cache);
    EXPECT_EQ(pool_.idle_blocks() + static_cast<int32_t>(held_.size()), 4);
  }
  EXPECT_EQ(cache.stats().evictions, 4);
  EXPECT_FALSE(cache.Lease().has_value());
  held_.clear();
}

TEST_F(PrefixCacheTest, NeverEvictsWhatIsInUse) {
  PrefixCache cache(&pool_);
  PrefixCache::Entry* used = Add(cache, nullptr, 1);
  Add(cache, nullptr, 2);
  Add(cache, nullptr, 3);
  held_.erase(held_.begin() + 1, held_.end());
  std::vector<BlockLease> leases;
  while (auto lease = cache.Lease()) leases.push_back(*std::move(lease));
  EXPECT_EQ(leases.size(), 3u);
  EXPECT_EQ(Find(cache, nullptr, 1), used);
  EXPECT_EQ(Find(cache, nullptr, 2), nullptr);
  CheckInvariants(cache);
  held_.clear();
}

}  // namespace
}  // namespace hocket
