// A row that several threads share gives the same bits as one that one thread has.
#include "runtime/sampling/row_passes.h"

#include <gtest/gtest.h>

#include <array>
#include <bit>
#include <cmath>
#include <limits>

#include "runtime/sampling/row_sampler.h"
#include "tests/runtime/sampling/reference_sampler.h"

namespace hocket {
namespace {

constexpr int32_t kMostThreads = 3;

std::vector<uint64_t> BitsOf(std::vector<float>& logits, const RowRequest& request,
                             RowScratch& scratch) {
  std::array<TokenLogprob, 20> top;
  const RowResult result = SampleRow(logits, request, scratch, top);
  std::vector<uint64_t> bits = {
      static_cast<uint64_t>(result.error), static_cast<uint64_t>(result.token),
      std::bit_cast<uint32_t>(result.logprob), static_cast<uint64_t>(result.rank)};
  for (int32_t i = 0; i < result.top_count; ++i) {
    bits.push_back(static_cast<uint64_t>(top[i].token));
    bits.push_back(std::bit_cast<uint32_t>(top[i].logprob));
  }
  return bits;
}

RowRequest RandomRequest(std::mt19937_64& random) {
  const auto one_in = [&](int n) { return random() % n == 0; };
  RowRequest request;
  request.temperature = one_in(5) ? 0.0f : 0.2f * static_cast<float>(1 + random() % 10);
  request.top_k = one_in(4) ? 40 : 0;
  request.top_p = one_in(2) ? 0.9f : 1.0f;
  request.min_p = one_in(4) ? 0.02f : 0.0f;
  request.typical_p = one_in(3) ? 0.9f : 1.0f;
  request.top_n_sigma = one_in(4) ? 1.5f : 0.0f;
  request.xtc_threshold = one_in(4) ? 0.02f : 0.0f;
  request.random = random();
  request.scored = true;
  request.scored_after = one_in(2);
  request.top_logprobs = 20;
  return request;
}

TEST(RowPasses, GiveTheSameBitsForOneTwoAndThreeThreads) {
  const uint64_t seed = 606;
  std::mt19937_64 random(seed);
  for (const size_t n : {row_passes::kSharedFrom - 1, row_passes::kSharedFrom, size_t{50257},
                         size_t{128256}, size_t{262144}}) {
    RowScratch scratch(n, kMostThreads);
    std::vector<uint32_t> mask((n + 31) / 32);
    for (uint32_t& word : mask) word = static_cast<uint32_t>(random());
    const std::vector<TokenCount> counts = {{5, 1, 1}, {static_cast<TokenId>(n - 1), 2, 0}};
    const LogitEdits masks{.counts = counts, .repetition_penalty = 1.2f, .constraint = mask};
    const LogitEdits penalties{.counts = counts, .repetition_penalty = 1.2f};
    for (int round = 0; round < 24; ++round) {
      std::string kind;
      std::vector<float> logits = RandomLogits(random, n, &kind);
      RowRequest request = RandomRequest(random);
      if (round % 3 == 1) request.edits = &penalties;
      if (round % 3 == 2) request.edits = &masks;
      SCOPED_TRACE(testing::Message() << "seed " << seed << ", n " << n << ", round " << round
                                      << ", " << kind << ", top_p " << request.top_p);
      scratch.threads = 1;
      const std::vector<uint64_t> expected = BitsOf(logits, request, scratch);
      for (scratch.threads = 2; scratch.threads <= kMostThreads; ++scratch.threads) {
        ASSERT_EQ(BitsOf(logits, request, scratch), expected) << scratch.threads << " threads";
      }
    }
  }
}

TEST(RowPasses, FindANanWhereverItIs) {
  const size_t n = row_passes::kSharedFrom + 77;
  for (const int32_t threads : {1, 3}) {
    RowScratch scratch(n, kMostThreads);
    scratch.threads = threads;
    for (const size_t place : {size_t{0}, row_passes::kSegment, n - 1}) {
      std::vector<float> logits(n, 1.0f);
      logits[place] = std::numeric_limits<float>::quiet_NaN();
      EXPECT_EQ(SampleRow(logits, {}, scratch, {}).error, RowError::kNan) << "at " << place;
    }
  }
}

TEST(RowPasses, SpreadIsThatOfTheFiniteLogits) {
  const uint64_t seed = 33;
  SCOPED_TRACE(testing::Message() << "seed " << seed);
  std::mt19937_64 random(seed);
  std::normal_distribution<float> normal(1, 2);
  for (const size_t n : {size_t{1}, size_t{15}, size_t{1000}, row_passes::kSegment * 5 + 3}) {
    std::vector<float> logits(n);
    for (float& logit : logits) {
      logit = random() % 5 == 0 ? -std::numeric_limits<float>::infinity() : normal(random);
    }
    size_t count = 0;
    double sum = 0;
    double squares = 0;
    for (const float logit : logits) {
      if (!std::isfinite(logit)) continue;
      ++count;
      sum += double{logit} - 8;
      squares += (double{logit} - 8) * (double{logit} - 8);
    }
    RowScratch scratch(n);
    const row_kernels::Spread spread = row_passes::FiniteSpread(logits.data(), n, 8, scratch);
    EXPECT_EQ(spread.count, count);
    EXPECT_NEAR(spread.sum, sum, 1e-9 * std::abs(sum));
    EXPECT_NEAR(spread.sum_of_squares, squares, 1e-9 * squares);
  }
}

}  // namespace
}  // namespace hocket
