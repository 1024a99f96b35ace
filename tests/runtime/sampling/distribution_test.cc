// Chi-square tests: what each strategy draws follows the distribution that it documents.
#include <gtest/gtest.h>

#include <cmath>

#include "runtime/sampling/philox.h"
#include "runtime/sampling/row_sampler.h"
#include "tests/runtime/sampling/reference_sampler.h"

namespace hocket {
namespace {

constexpr int kDraws = 200000;
constexpr size_t kVocabulary = 300;

// Draws at 200,000 positions of one seed; bins of fewer than 10 expected draws are put together.
void ExpectFollows(RowRequest request, uint64_t seed) {
  std::mt19937_64 random(seed);
  std::normal_distribution<float> normal(0, 2);
  std::vector<float> logits(kVocabulary);
  for (float& logit : logits) logit = normal(random);

  std::vector<float> allowed = logits;
  for (TokenId id : request.masked) allowed[id] = -std::numeric_limits<float>::infinity();
  const std::vector<TokenId> order = FallingOrder(allowed);
  const std::vector<double> softmax = Softmax(allowed, request.temperature);
  const std::vector<double> expected =
      Renormalized(softmax, order, KeptCount(softmax, order, request, 0));

  std::vector<int> drawn(kVocabulary);
  RowScratch scratch(kVocabulary);
  std::vector<float> masked(request.masked.size());
  for (int position = 0; position < kDraws; ++position) {
    request.random = RandomBits(seed, 0, position);
    ++drawn[SampleRow(logits, request, scratch, masked, {}).token];
  }

  double chi_square = 0;
  int bins = 0;
  double rare_expected = 0;
  int rare_drawn = 0;
  for (size_t i = 0; i < kVocabulary; ++i) {
    if (expected[i] == 0) {
      EXPECT_EQ(drawn[i], 0) << "token " << i << " was filtered out";
    } else if (expected[i] * kDraws < 10) {
      rare_expected += expected[i] * kDraws;
      rare_drawn += drawn[i];
    } else {
      chi_square += std::pow(drawn[i] - expected[i] * kDraws, 2) / (expected[i] * kDraws);
      ++bins;
    }
  }
  if (rare_expected > 10) {
    chi_square += std::pow(rare_drawn - rare_expected, 2) / rare_expected;
    ++bins;
  }
  // Wilson and Hilferty's normal approximation; 3.7 standard deviations are 1 in 10,000.
  const double freedom = bins - 1;
  const double z =
      (std::cbrt(chi_square / freedom) - (1 - 2 / (9 * freedom))) / std::sqrt(2 / (9 * freedom));
  EXPECT_LT(std::abs(z), 3.7) << "chi-square " << chi_square << " with " << freedom
                              << " degrees of freedom, seed " << seed;
}

TEST(Distribution, Plain) { ExpectFollows({}, 11); }
TEST(Distribution, LowTemperature) { ExpectFollows({.temperature = 0.4f}, 12); }
TEST(Distribution, HighTemperature) { ExpectFollows({.temperature = 3}, 13); }
TEST(Distribution, TopK) { ExpectFollows({.top_k = 20}, 14); }
TEST(Distribution, TopP) { ExpectFollows({.top_p = 0.8f}, 15); }
TEST(Distribution, TopKThenTopP) {
  ExpectFollows({.temperature = 1.3f, .top_k = 40, .top_p = 0.7f}, 16);
}
TEST(Distribution, Masked) {
  const std::vector<TokenId> masked = {3, 77, 150};
  ExpectFollows({.top_p = 0.95f, .masked = masked}, 17);
}

// Over seeds and over choices the draws are as independent as over positions.
TEST(Distribution, AcrossSeedsAndChoices) {
  std::vector<float> logits(16, 0.0f);
  RowScratch scratch(16);
  for (bool over_seeds : {true, false}) {
    std::vector<int> pairs(256);
    TokenId previous = 0;
    for (int i = 0; i < kDraws; ++i) {
      RowRequest request;
      request.random = over_seeds ? RandomBits(i, 0, 5) : RandomBits(9, i, 5);
      const TokenId token = SampleRow(logits, request, scratch, {}, {}).token;
      ++pairs[previous * 16 + token];
      previous = token;
    }
    double chi_square = 0;
    const double expected = kDraws / 256.0;
    for (int count : pairs) chi_square += (count - expected) * (count - expected) / expected;
    EXPECT_LT(chi_square, 255 + 3.7 * std::sqrt(2 * 255.0));
  }
}

}  // namespace
}  // namespace hocket
