// Chi-square tests: what each strategy draws follows the distribution that it documents.
#include <gtest/gtest.h>

#include <cmath>
#include <random>

#include "runtime/sampling/philox.h"
#include "runtime/sampling/row_sampler.h"
#include "tests/runtime/sampling/reference_chain.h"

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

  const std::vector<double> expected = RunReference(logits, request).probabilities;

  std::vector<int> drawn(kVocabulary);
  RowScratch scratch(kVocabulary);
  for (int position = 0; position < kDraws; ++position) {
    request.random = RandomBits(seed, 0, position);
    ++drawn[SampleRow(logits, request, scratch, {}).token];
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

TEST(Distribution, MinP) { ExpectFollows({.temperature = 1.5f, .min_p = 0.03f}, 18); }
TEST(Distribution, TypicalP) { ExpectFollows({.typical_p = 0.7f}, 19); }
TEST(Distribution, TopNSigma) { ExpectFollows({.temperature = 2, .top_n_sigma = 1.5f}, 20); }
TEST(Distribution, Xtc) { ExpectFollows({.xtc_threshold = 0.04f}, 21); }
TEST(Distribution, AllFilters) {
  ExpectFollows({.temperature = 1.4f,
                 .top_k = 100,
                 .top_p = 0.97f,
                 .min_p = 0.02f,
                 .typical_p = 0.9f,
                 .top_n_sigma = 3,
                 .xtc_threshold = 0.1f},
                22);
}
TEST(Distribution, Penalties) {
  std::vector<TokenCount> counts;
  for (TokenId id = 0; id < 150; ++id) counts.push_back({id, 1 + id % 3, id % 3});
  const std::vector<TokenBias> bias = {{200, 4}, {17, -3}};
  const LogitEdits edits{.bias = bias,
                         .counts = counts,
                         .repetition_penalty = 1.2f,
                         .presence_penalty = 0.5f,
                         .frequency_penalty = 0.3f};
  ExpectFollows({.top_p = 0.95f, .edits = &edits}, 23);
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
      const TokenId token = SampleRow(logits, request, scratch, {}).token;
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
