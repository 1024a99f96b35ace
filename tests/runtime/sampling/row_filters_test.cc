#include "runtime/sampling/row_filters.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <limits>

#include "runtime/sampling/logit_edits.h"
#include "runtime/sampling/row_sampler.h"
#include "tests/runtime/sampling/reference_chain.h"
#include "tests/runtime/sampling/reference_sampler.h"

namespace hocket {
namespace {

using testing::ElementsAre;

constexpr float kInfinity = std::numeric_limits<float>::infinity();

// What the stage keeps, by rising id.
std::vector<TokenId> Kept(std::vector<float> logits, const RowRequest& request) {
  RowScratch scratch(logits.size());
  const float max =
      row_kernels::ScanRow(logits.data(), logits.size(), scratch.chunk_max.data()).max;
  const EditedRow row = ApplyEdits(logits, max, request, scratch);
  const KeptTokens kept = FilterRow(row.logits, logits.size(), row.max, request, scratch);
  std::vector<TokenId> tokens;
  for (size_t i = 0; i < kept.candidates.count; ++i) {
    if (kept.Keeps(i)) tokens.push_back(kept.candidates.Id(i));
  }
  return tokens;
}

std::vector<float> Logits(const std::vector<double>& probabilities) {
  std::vector<float> logits;
  for (const double p : probabilities) logits.push_back(static_cast<float>(std::log(p)));
  return logits;
}

TEST(MinP, KeepsWhatIsAtLeastThisFractionOfTheMostLikely) {
  const std::vector<float> logits = Logits({0.05, 0.5, 0.3, 0.15});
  EXPECT_THAT(Kept(logits, {.min_p = 0.31f}), ElementsAre(1, 2));
  EXPECT_THAT(Kept(logits, {.min_p = 0.29f}), ElementsAre(1, 2, 3));
  EXPECT_THAT(Kept(logits, {.min_p = 1}), ElementsAre(1));
  EXPECT_THAT(Kept({2, 2, 1}, {.min_p = 1}), ElementsAre(0, 1));
}

TEST(MinP, SeesTheTemperature) {
  const std::vector<float> logits = Logits({0.8, 0.2});
  EXPECT_THAT(Kept(logits, {.temperature = 1, .min_p = 0.3f}), ElementsAre(0));
  EXPECT_THAT(Kept(logits, {.temperature = 2, .min_p = 0.3f}), ElementsAre(0, 1));
}

TEST(MinP, LeavesTheMassThatTopPCounts) {
  // Of all tokens, 0.79 is reached by the first two; of those that min-p keeps, by the first.
  const std::vector<float> logits = Logits({0.5, 0.3, 0.1, 0.1});
  EXPECT_THAT(Kept(logits, {.top_p = 0.79f, .min_p = 0.5f}), ElementsAre(0, 1));
  EXPECT_THAT(Kept(logits, {.top_p = 0.95f, .min_p = 0.5f}), ElementsAre(0, 1));
  EXPECT_THAT(Kept(logits, {.top_p = 0.49f, .min_p = 0.5f}), ElementsAre(0));
}

TEST(TopNSigma, KeepsLogitsWithinSoManyDeviationsOfTheHighest) {
  const std::vector<float> logits = {4, 0, 0, 0, 0, 3.9f, -kInfinity};  // Of those finite, 1.862.
  EXPECT_THAT(Kept(logits, {.top_n_sigma = 1}), ElementsAre(0, 5));
  EXPECT_THAT(Kept(logits, {.top_n_sigma = 0.05f}), ElementsAre(0));
  EXPECT_THAT(Kept(logits, {.top_n_sigma = 2.2f}), ElementsAre(0, 1, 2, 3, 4, 5));
  EXPECT_THAT(Kept(logits, {.temperature = 50, .top_n_sigma = 1}), ElementsAre(0, 5));
  EXPECT_THAT(Kept({1, 1, 1}, {.top_n_sigma = 0.1f}), ElementsAre(0, 1, 2));
  EXPECT_THAT(Kept({kInfinity, 1, 2}, {.top_n_sigma = 100}), ElementsAre(0));
}

TEST(TypicalP, KeepsTheTokensOfExpectedSurprise) {
  // Entropy 1.08 nats; surprises 0.51, 1.61, 1.90, 3.91: the second token is the most typical.
  const std::vector<float> logits = Logits({0.6, 0.2, 0.15, 0.02, 0.02, 0.01});
  EXPECT_THAT(Kept(logits, {.typical_p = 0.1f}), ElementsAre(1));
  EXPECT_THAT(Kept(logits, {.typical_p = 0.5f}), ElementsAre(0, 1));
  EXPECT_THAT(Kept(logits, {.typical_p = 0.81f}), ElementsAre(0, 1, 2));
}

TEST(TypicalP, TiesGoToTheLowerId) {
  EXPECT_THAT(Kept({1, 1, 1, 1}, {.typical_p = 0.5f}), ElementsAre(0, 1));
}

TEST(Xtc, LeavesTheLeastLikelyOfTheTopChoices) {
  const std::vector<float> logits = Logits({0.3, 0.4, 0.2, 0.1});
  EXPECT_THAT(Kept(logits, {.xtc_threshold = 0.15f}), ElementsAre(2, 3));
  EXPECT_THAT(Kept(logits, {.xtc_threshold = 0.25f}), ElementsAre(0, 2, 3));
  EXPECT_THAT(Kept(logits, {.xtc_threshold = 0.35f}), ElementsAre(0, 1, 2, 3));
  EXPECT_THAT(Kept(logits, {.top_k = 2, .xtc_threshold = 0.4f}), ElementsAre(0));
  EXPECT_THAT(Kept({1, 1, 1, 1}, {.xtc_threshold = 0.2f}), ElementsAre(3));
}

struct RandomCase {
  RowRequest request;
  LogitEdits edits;
  std::vector<TokenBias> bias, repeats;
  std::vector<TokenId> banned, ended, masked;
  std::vector<TokenCount> counts;
  std::vector<uint32_t> allowed, constraint;
};

template <typename T>
T OneOf(std::mt19937_64& random, std::initializer_list<T> values) {
  return *(values.begin() + random() % values.size());
}

void AddEdits(std::mt19937_64& random, size_t n, RandomCase& c) {
  const auto token = [&] { return static_cast<TokenId>(random() % n); };
  for (size_t i = random() % 5; i > 0; --i) {
    c.bias.push_back({token(), OneOf(random, {-100.0f, -1.5f, 0.0f, 3.0f, 100.0f})});
  }
  for (size_t i = random() % 4; i > 0; --i) c.banned.push_back(token());
  for (size_t i = random() % 3; i > 0; --i) c.ended.push_back(token());
  for (size_t i = random() % 3; i > 0; --i) c.masked.push_back(token());
  for (size_t i = random() % 60; i > 0; --i) {
    const auto seen = static_cast<int32_t>(1 + random() % 4);
    c.counts.push_back({token(), seen, static_cast<int32_t>(random() % (seen + 1))});
  }
  for (size_t i = random() % 4; i > 0; --i) c.repeats.push_back({token(), 1.7f});
  const auto mask = [&](std::vector<uint32_t>& words) {
    if (random() % 4 != 0) return;
    words.resize((n + 31) / 32);
    for (uint32_t& word : words) word = static_cast<uint32_t>(random());
  };
  mask(c.allowed);
  mask(c.constraint);
  c.edits = {c.bias,
             c.banned,
             c.ended,
             c.counts,
             OneOf(random, {1.0f, 1.3f, 0.5f, 100.0f}),
             OneOf(random, {0.0f, 0.7f, -2.0f}),
             OneOf(random, {0.0f, 0.4f, -100.0f}),
             c.repeats,
             c.allowed,
             c.constraint};
  c.request.edits = &c.edits;
  c.request.masked = c.masked;
}

void RandomizeFilters(std::mt19937_64& random, RowRequest& request) {
  request.temperature = OneOf(random, {1e-30f, 0.3f, 0.8f, 1.0f, 1.7f, 30.0f, 1e30f});
  request.top_k = OneOf(random, {0, 0, 0, 2, 5, 50, 500, 100000});
  request.top_p = OneOf(random, {1.0f, 1.0f, 0.999f, 0.95f, 0.5f, 0.01f, 1e-20f});
  request.min_p = OneOf(random, {0.0f, 0.0f, 1e-9f, 0.05f, 0.3f, 1.0f});
  request.typical_p = OneOf(random, {1.0f, 1.0f, 0.9f, 0.5f, 0.01f});
  request.top_n_sigma = OneOf(random, {0.0f, 0.0f, 0.5f, 1.0f, 3.0f, 100.0f});
  request.xtc_threshold = OneOf(random, {0.0f, 0.0f, 0.01f, 0.1f, 0.5f});
  request.random = random();
}

std::string Settings(const RowRequest& r) {
  const testing::Message text =
      testing::Message() << "temperature " << r.temperature << ", top_k " << r.top_k << ", top_p "
                         << r.top_p << ", min_p " << r.min_p << ", typical_p " << r.typical_p
                         << ", top_n_sigma " << r.top_n_sigma << ", xtc_threshold "
                         << r.xtc_threshold << (r.edits == nullptr ? "" : ", edits");
  return text.GetString();
}

// Tokens of less than 2^-41 of the most likely one weigh nothing: whether they are kept is moot.
bool Matters(const ReferenceRow& expected, TokenId id) {
  const double most =
      *std::max_element(expected.probabilities.begin(), expected.probabilities.end());
  return expected.probabilities[id] > 1e-11 * most;
}

void ExpectKept(const std::vector<TokenId>& kept, const ReferenceRow& expected) {
  for (const TokenId id : expected.kept) {
    ASSERT_TRUE(!Matters(expected, id) || std::binary_search(kept.begin(), kept.end(), id)) << id;
  }
  std::vector<bool> expected_too(expected.logits.size());
  for (const TokenId id : expected.kept) expected_too[id] = true;
  for (const TokenId id : kept) {
    ASSERT_TRUE(expected_too[id] || expected.unfiltered[id] < 1e-11) << id;
  }
}

// The drawn token, its probability after filtering, its rank and the alternatives.
void ExpectScoredAfter(const std::vector<float>& logits, const ReferenceRow& expected,
                       RowRequest request) {
  std::vector<float> changed = logits;
  RowScratch scratch(logits.size());
  std::vector<TokenLogprob> top(20);
  request.scored = request.scored_after = true;
  request.top_logprobs = 20;
  const RowResult result = SampleRow(changed, request, scratch, top);
  ASSERT_EQ(changed, logits);
  ASSERT_EQ(result.error, RowError::kNone);
  ASSERT_TRUE(DrawnBy(expected.probabilities, result.token, request.random, 1e-5))
      << "token " << result.token;
  ASSERT_NEAR(std::exp(result.logprob), expected.probabilities[result.token], 3e-6);
  ASSERT_EQ(expected.kept[result.rank - 1], result.token);
  for (int32_t i = 0; i < result.top_count; ++i) {
    if (!Matters(expected, top[i].token)) break;
    ASSERT_EQ(top[i].token, expected.kept[i]);
    ASSERT_NEAR(std::exp(top[i].logprob), expected.probabilities[top[i].token], 3e-6);
  }
}

// Counts the rows where rounding decides, of which only that something is kept is sure.
void ExpectAgreement(const std::vector<float>& logits, const RowRequest& request, int& ambiguous) {
  const ReferenceRow expected = RunReference(logits, request);
  if (expected.ambiguous) {
    ++ambiguous;
    ASSERT_FALSE(Kept(logits, request).empty());
    return;
  }
  ExpectKept(Kept(logits, request), expected);
  ExpectScoredAfter(logits, expected, request);
}

TEST(FilterRow, AgreesWithThePlainReferenceForRandomRowsEditsAndFilters) {
  const uint64_t seed = 90210;
  std::mt19937_64 random(seed);
  constexpr int kRounds = 4000;
  int ambiguous = 0;
  for (int round = 0; round < kRounds; ++round) {
    const size_t n = OneOf<size_t>(random, {1, 2, 7, 33, 128, 129, 1000, 1500});
    std::string kind;
    const std::vector<float> logits = RandomLogits(random, n, &kind);
    RandomCase c;
    RandomizeFilters(random, c.request);
    if (random() % 2 == 0) AddEdits(random, n, c);
    SCOPED_TRACE(testing::Message() << "seed " << seed << ", round " << round << ", " << kind
                                    << ", n " << n << ", " << Settings(c.request));
    const std::vector<float> edited = EditedLogits(logits, c.request);
    if (*std::max_element(edited.begin(), edited.end()) == -kInfinity) {
      std::vector<float> changed = logits;
      RowScratch scratch(n);
      ASSERT_EQ(SampleRow(changed, c.request, scratch, {}).error, RowError::kNoToken);
      continue;
    }
    ExpectAgreement(logits, c.request, ambiguous);
    if (HasFatalFailure()) return;
  }
  EXPECT_LT(ambiguous, kRounds / 10);
}

TEST(FilterRow, AgreesWithTheReferenceAtTheLargestVocabulary) {
  std::mt19937_64 random(17);
  for (int round = 0; round < 12; ++round) {
    std::string kind;
    const std::vector<float> logits = RandomLogits(random, 262144, &kind);
    RandomCase c;
    c.request = {.temperature = 0.8f, .top_p = 0.95f, .min_p = 0.05f, .random = random()};
    if (round % 2 == 0) AddEdits(random, logits.size(), c);
    if (round % 3 == 0) c.request.top_n_sigma = 2;
    SCOPED_TRACE(testing::Message() << "seed 17, round " << round << ", " << kind);
    const ReferenceRow expected = RunReference(logits, c.request);
    if (expected.ambiguous) continue;
    ExpectKept(Kept(logits, c.request), expected);
    ExpectScoredAfter(logits, expected, c.request);
  }
}

TEST(FilterRow, AgreesWithTheReferenceForEveryFilterAtLargeVocabularies) {
  const uint64_t seed = 4711;
  std::mt19937_64 random(seed);
  int ambiguous = 0;
  constexpr int kRounds = 40;
  for (int round = 0; round < kRounds; ++round) {
    const size_t n = OneOf<size_t>(random, {32000, 50257, 128256, 262144});
    std::string kind;
    const std::vector<float> logits = RandomLogits(random, n, &kind);
    RandomCase c;
    RandomizeFilters(random, c.request);
    SCOPED_TRACE(testing::Message() << "seed " << seed << ", round " << round << ", " << kind
                                    << ", n " << n << ", " << Settings(c.request));
    ExpectAgreement(logits, c.request, ambiguous);
    if (HasFatalFailure()) return;
  }
  EXPECT_LT(ambiguous, kRounds / 2);
}

TEST(ScoredAfter, AGreedyTokenHasAllTheProbability) {
  std::vector<float> logits = {1, 3, 2};
  RowScratch scratch(3);
  std::vector<TokenLogprob> top(2);
  const RowResult result =
      SampleRow(logits, {.temperature = 0, .scored = true, .scored_after = true, .top_logprobs = 2},
                scratch, top);
  EXPECT_EQ(result.token, 1);
  EXPECT_EQ(result.logprob, 0);
  EXPECT_EQ(result.rank, 1);
  EXPECT_EQ(result.top_count, 1);
}

}  // namespace
}  // namespace hocket
