#include "runtime/sampling/selection.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <limits>

#include "tests/runtime/sampling/reference_sampler.h"

namespace hocket {
namespace {

using row_kernels::Candidates;

struct Row {
  explicit Row(std::vector<float> values) : logits(std::move(values)), scratch(logits.size()) {
    scan = row_kernels::ScanRow(logits.data(), logits.size(), scratch.chunk_max.data());
  }
  std::vector<TokenId> TopIds(size_t k) {
    const size_t count = TopK(logits.data(), logits.size(), k, scratch);
    return {scratch.ids.begin(), scratch.ids.begin() + count};
  }
  std::vector<float> logits;
  RowScratch scratch;
  row_kernels::Scan scan;
};

TEST(TopK, KeepsExactlyKAndTiesGoToTheLowerId) {
  EXPECT_EQ(Row({1, 3, 2, 3, 3}).TopIds(2), (std::vector<TokenId>{1, 3}));
  EXPECT_EQ(Row({1, 3, 2, 3, 3}).TopIds(4), (std::vector<TokenId>{1, 2, 3, 4}));
  EXPECT_EQ(Row(std::vector<float>(1000, 0.5f)).TopIds(3), (std::vector<TokenId>{0, 1, 2}));
  EXPECT_EQ(Row({-0.0f, 0.0f, -0.0f}).TopIds(2), (std::vector<TokenId>{0, 1}));
}

TEST(TopK, KeepsAllWhenThereAreNoMore) {
  EXPECT_EQ(Row({1, 2}).TopIds(2), (std::vector<TokenId>{0, 1}));
  EXPECT_EQ(Row({1, 2}).TopIds(1000), (std::vector<TokenId>{0, 1}));
}

TEST(TopK, AgreesWithASortForRandomRows) {
  const uint64_t seed = 20240711;
  SCOPED_TRACE(testing::Message() << "seed " << seed);
  std::mt19937_64 random(seed);
  const size_t sizes[] = {1, 2, 15, 16, 17, 127, 128, 129, 1000, 4096, 50257};
  for (int round = 0; round < 300; ++round) {
    std::string kind;
    Row row(RandomLogits(random, sizes[random() % std::size(sizes)], &kind));
    const size_t k = 1 + random() % (row.logits.size() + 3);
    std::vector<TokenId> expected = FallingOrder(row.logits);
    expected.resize(std::min(k, expected.size()));
    std::sort(expected.begin(), expected.end());
    ASSERT_EQ(row.TopIds(k), expected) << kind << ", n " << row.logits.size() << ", k " << k;
  }
}

TEST(SortedTop, IsInFallingOrder) {
  Row row({1, 3, 2, 3, 0});
  std::vector<TokenId> ids;
  for (uint64_t packed : SortedTop(row.logits.data(), 5, 4, row.scratch)) {
    ids.push_back(PackedId(packed));
  }
  EXPECT_EQ(ids, (std::vector<TokenId>{1, 3, 2, 0}));
}

// The cut and the kept weight, by sorting everything.
Nucleus SortedNucleus(const Candidates& candidates, uint64_t need) {
  std::vector<size_t> order(candidates.count);
  for (size_t i = 0; i < order.size(); ++i) order[i] = i;
  std::stable_sort(order.begin(), order.end(),
                   [&](size_t a, size_t b) { return candidates.keys[a] > candidates.keys[b]; });
  uint64_t weight = 0;
  for (size_t i : order) {
    weight += row_kernels::Weight(candidates.relative[i]);
    if (weight >= need) return {{candidates.keys[i], candidates.Id(i)}, weight};
  }
  return {};
}

TEST(SmallestSetReaching, AgreesWithASortForEveryNeed) {
  const uint64_t seed = 8151;
  SCOPED_TRACE(testing::Message() << "seed " << seed);
  std::mt19937_64 random(seed);
  const size_t sizes[] = {1, 3, 127, 128, 129, 130, 700, 5000, 50257};
  for (int round = 0; round < 400; ++round) {
    std::string kind;
    Row row(RandomLogits(random, sizes[random() % std::size(sizes)], &kind));
    const float inverse_temperature = random() % 2 == 0 ? 1.0f : 0.05f;
    const size_t n = row.logits.size();
    const uint64_t total = row_kernels::StoreRelative(
        row.logits.data(), n, row.scan.max, inverse_temperature, row.scratch.relative.data());
    const uint64_t needs[] = {1, total, 1 + random() % total, 1 + random() % total};
    const uint64_t need = needs[random() % 4];
    const Candidates all{row.logits.data(), row.scratch.relative.data(), nullptr, n};
    const Nucleus expected = SortedNucleus(all, need);
    const Nucleus got = SmallestSetReaching(all, need, row.scratch);
    ASSERT_EQ(got.weight, expected.weight) << kind << ", n " << n << ", need " << need;
    ASSERT_EQ(got.cut.key, expected.cut.key) << kind << ", n " << n << ", need " << need;
    ASSERT_EQ(got.cut.id, expected.cut.id) << kind << ", n " << n << ", need " << need;
    ASSERT_EQ(row_kernels::SumKept(all, got.cut, row.scratch.chunk_sums.data()), got.weight);
  }
}

// Most buckets hold nothing and one nearly all, at every scale.
TEST(SmallestSetReaching, AgreesWithASortForKeysThatCrowdTogether) {
  const uint64_t seed = 92;
  SCOPED_TRACE(testing::Message() << "seed " << seed);
  std::mt19937_64 random(seed);
  for (int round = 0; round < 50; ++round) {
    std::vector<float> keys(2000 + random() % 3000);
    for (float& key : keys) key = -std::exp2(static_cast<float>(random() % 140) - 138);
    Row row(std::move(keys));
    const size_t n = row.logits.size();
    const uint64_t total = row_kernels::StoreRelative(row.logits.data(), n, row.scan.max, 1.0f,
                                                      row.scratch.relative.data());
    const uint64_t need = 1 + random() % total;
    const Candidates all{row.logits.data(), row.scratch.relative.data(), nullptr, n};
    const Nucleus expected = SortedNucleus(all, need);
    const Nucleus got = SmallestSetReaching(all, need, row.scratch);
    ASSERT_EQ(got.weight, expected.weight) << "need " << need;
    ASSERT_EQ(got.cut.key, expected.cut.key) << "need " << need;
    ASSERT_EQ(got.cut.id, expected.cut.id) << "need " << need;
  }
}

}  // namespace
}  // namespace hocket
