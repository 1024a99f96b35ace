// The same bits from every instruction set that this machine can run, where products are fused, and
// the documented distribution from all of them.
#include <gtest/gtest.h>
#include <hwy/targets.h>

#include <algorithm>
#include <array>
#include <bit>
#include <cmath>

#include "runtime/sampling/row_sampler.h"
#include "tests/runtime/sampling/reference_chain.h"
#include "tests/runtime/sampling/reference_sampler.h"

namespace hocket {
namespace {

RowRequest RandomRequest(std::mt19937_64& random) {
  RowRequest request;
  request.temperature = 0.1f * static_cast<float>(1 + random() % 20);
  request.top_k = random() % 3 == 0 ? 1 + random() % 100 : 0;
  request.top_p = random() % 2 == 0 ? 1.0f : 0.9f;
  request.min_p = random() % 3 == 0 ? 0.01f : 0.0f;
  request.typical_p = random() % 3 == 0 ? 0.8f : 1.0f;
  request.top_n_sigma = random() % 4 == 0 ? 1.5f : 0.0f;
  request.xtc_threshold = random() % 3 == 0 ? 0.05f : 0.0f;
  request.random = random();
  return request;
}

// What one target makes of many random rows: tokens, scores and sums.
std::vector<uint64_t> RunOn(int64_t target) {
  hwy::SetSupportedTargetsForTest(target);
  hwy::GetChosenTarget().Update(hwy::SupportedTargets());
  std::vector<uint64_t> bits;
  std::mt19937_64 random(31);
  for (int round = 0; round < 300; ++round) {
    std::string kind;
    std::vector<float> logits = RandomLogits(random, 1 + random() % 3000, &kind);
    RowScratch scratch(logits.size());
    std::array<TokenLogprob, 20> top;
    RowRequest request = RandomRequest(random);
    std::vector<uint32_t> mask((logits.size() + 31) / 32);
    for (uint32_t& word : mask) word = static_cast<uint32_t>(random());
    const LogitEdits edits{.constraint = mask};
    if (random() % 3 == 0) request.edits = &edits;
    request.scored_after = random() % 2 == 0;
    request.scored = true;
    request.top_logprobs = 20;
    const RowResult result = SampleRow(logits, request, scratch, top);
    bits.push_back(static_cast<uint64_t>(result.error));
    if (result.error != RowError::kNone) continue;
    bits.push_back(result.token);
    bits.push_back(result.rank);
    bits.push_back(std::bit_cast<uint32_t>(result.logprob));
    for (int32_t i = 0; i < result.top_count; ++i) {
      bits.push_back(top[i].token);
      bits.push_back(std::bit_cast<uint32_t>(top[i].logprob));
    }
    for (uint64_t sum : scratch.chunk_sums) bits.push_back(sum);
  }
  hwy::SetSupportedTargetsForTest(0);
  hwy::GetChosenTarget().DeInit();
  return bits;
}

TEST(Targets, GiveTheSameBitsWhereverProductsAreFused) {
  std::vector<uint64_t> expected;
  int compared = 0;
  for (int64_t targets = hwy::SupportedTargets() & HWY_TARGETS; targets != 0;
       targets &= targets - 1) {
    const int64_t target = targets & -targets;
    if (target >= HWY_SSE4) continue;  // SSE4 and SSSE3 have no fused multiply-add.
    const std::vector<uint64_t> bits = RunOn(target);
    if (expected.empty()) expected = bits;
    ASSERT_EQ(bits.size(), expected.size());
    const auto different = std::mismatch(bits.begin(), bits.end(), expected.begin()).first;
    EXPECT_TRUE(different == bits.end())
        << hwy::TargetName(target) << " differs from the widest at " << different - bits.begin()
        << ": " << *different << " for " << expected[different - bits.begin()];
    ++compared;
  }
  RecordProperty("targets", compared);
}

// Those without fused multiply-add too, whose weights may differ in the last unit.
TEST(Targets, DrawAsTheReferenceDoesOnEachOfThem) {
  const uint64_t seed = 1801;
  for (int64_t targets = hwy::SupportedTargets() & HWY_TARGETS; targets != 0;
       targets &= targets - 1) {
    const int64_t target = targets & -targets;
    hwy::SetSupportedTargetsForTest(target);
    hwy::GetChosenTarget().Update(hwy::SupportedTargets());
    std::mt19937_64 random(seed);
    for (int round = 0; round < 100; ++round) {
      std::string kind;
      std::vector<float> logits = RandomLogits(random, 1 + random() % 3000, &kind);
      RowRequest request = RandomRequest(random);
      request.scored = request.scored_after = true;
      SCOPED_TRACE(testing::Message() << hwy::TargetName(target) << ", seed " << seed << ", round "
                                      << round << ", " << kind);
      const ReferenceRow expected = RunReference(logits, request);
      RowScratch scratch(logits.size());
      const RowResult result = SampleRow(logits, request, scratch, {});
      ASSERT_EQ(result.error, RowError::kNone);
      if (expected.ambiguous || request.top_k == 1) continue;
      EXPECT_TRUE(DrawnBy(expected.probabilities, result.token, request.random, 1e-5));
      EXPECT_NEAR(std::exp(result.logprob), expected.probabilities[result.token], 3e-6);
    }
  }
  hwy::SetSupportedTargetsForTest(0);
  hwy::GetChosenTarget().DeInit();
}

}  // namespace
}  // namespace hocket
