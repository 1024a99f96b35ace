#include "runtime/sampling/row_sampler.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <limits>

#include "runtime/sampling/philox.h"
#include "tests/runtime/sampling/reference_sampler.h"

namespace hocket {
namespace {

constexpr float kInfinity = std::numeric_limits<float>::infinity();
constexpr float kNan = std::numeric_limits<float>::quiet_NaN();

struct Sampled : RowResult {
  std::vector<TokenLogprob> top;
};

Sampled Sample(std::vector<float> logits, const RowRequest& request) {
  const std::vector<float> before = logits;
  RowScratch scratch(logits.size());
  Sampled result;
  result.top.resize(request.top_logprobs);
  static_cast<RowResult&>(result) = SampleRow(logits, request, scratch, result.top);
  result.top.resize(result.top_count);
  for (size_t i = 0; i < logits.size(); ++i) {
    EXPECT_TRUE(logits[i] == before[i] || std::isnan(before[i])) << "logit " << i << " was changed";
  }
  return result;
}

TokenId Token(std::vector<float> logits, const RowRequest& request) {
  const Sampled result = Sample(std::move(logits), request);
  EXPECT_EQ(result.error, RowError::kNone);
  return result.token;
}

const RowRequest kGreedy{.temperature = 0};

TEST(Greedy, TiesGoToTheLowerId) {
  EXPECT_EQ(Token({1, 5, 2, 5}, kGreedy), 1);
  EXPECT_EQ(Token({-0.0f, 0.0f}, kGreedy), 0);
  std::vector<float> wide(1000, -3);
  wide[700] = wide[701] = wide[999] = 4;
  EXPECT_EQ(Token(wide, kGreedy), 700);
  EXPECT_EQ(Token({7}, kGreedy), 0);
}

TEST(Greedy, InfinityWinsAndMinusInfinityNever) {
  EXPECT_EQ(Token({1, kInfinity, kInfinity}, kGreedy), 1);
  EXPECT_EQ(Token({-kInfinity, -kInfinity, -1e30f}, kGreedy), 2);
}

TEST(SampleRow, RefusesNanWhereverItStands) {
  for (size_t n : {1, 5, 16, 129, 300}) {
    for (size_t at : {size_t{0}, n / 2, n - 1}) {
      std::vector<float> logits(n, 1);
      logits[at] = kNan;
      EXPECT_EQ(Sample(logits, kGreedy).error, RowError::kNan) << n << " " << at;
      logits[at] = -kNan;
      EXPECT_EQ(Sample(logits, {.top_k = 3, .top_p = 0.5f}).error, RowError::kNan);
      EXPECT_EQ(Sample(logits, {.given = 0, .scored = true}).error, RowError::kNan);
    }
  }
}

TEST(SampleRow, RefusesARowWithoutAnyToken) {
  EXPECT_EQ(Sample(std::vector<float>(40, -kInfinity), kGreedy).error, RowError::kNoToken);
  const std::vector<TokenId> both = {0, 1};
  EXPECT_EQ(Sample({3, 4}, {.temperature = 0, .masked = both}).error, RowError::kNoToken);
}

TEST(Masked, TokensAreNotDrawnButScoredAsTheModelSaidThem) {
  const std::vector<TokenId> masked = {1, 3, 1};
  const std::vector<float> logits = {0, 5, 1, 9};
  EXPECT_EQ(Token(logits, {.temperature = 0, .masked = masked}), 2);
  const Sampled scored =
      Sample(logits, {.temperature = 0, .masked = masked, .scored = true, .top_logprobs = 2});
  EXPECT_EQ(scored.token, 2);
  EXPECT_EQ(scored.rank, 3);
  EXPECT_NEAR(scored.logprob, std::log(Softmax(logits, 1)[2]), 1e-6);
  ASSERT_EQ(scored.top.size(), 2u);
  EXPECT_EQ(scored.top[0].token, 3);
  EXPECT_EQ(scored.top[1].token, 1);
}

TEST(Temperature, AnyPositiveValueIsSafe) {
  const std::vector<float> logits = {1, 3, 2, 3, -kInfinity};
  for (float temperature : {std::numeric_limits<float>::denorm_min(), 1e-38f, 1e-30f, 1e-3f}) {
    EXPECT_EQ(Token(logits, {.temperature = temperature, .random = 0}), 1);
    EXPECT_EQ(Token(logits, {.temperature = temperature, .random = ~uint64_t{0}}), 3);
  }
  for (float temperature : {1e30f, std::numeric_limits<float>::max()}) {
    for (uint64_t quarter = 0; quarter < 4; ++quarter) {
      const uint64_t random = (quarter << 62) + (uint64_t{1} << 61);
      EXPECT_EQ(Token(logits, {.temperature = temperature, .random = random}),
                static_cast<TokenId>(quarter));
      EXPECT_EQ(Token(logits, {.temperature = temperature, .top_p = 0.9999f, .random = random}),
                static_cast<TokenId>(quarter));
    }
  }
}

TEST(TopP, KeepsTheTokenThatCrossesTheThreshold) {
  const std::vector<float> logits = {std::log(0.2f), std::log(0.5f), std::log(0.3f)};
  const auto last = [&](float p) {  // The highest id kept is drawn by the highest random bits.
    return Token(logits, {.top_p = p, .random = ~uint64_t{0}});
  };
  EXPECT_EQ(last(1e-30f), 1);
  EXPECT_EQ(last(0.49f), 1);
  EXPECT_EQ(last(0.51f), 2);
  EXPECT_EQ(last(0.79f), 2);
  EXPECT_EQ(Token(logits, {.top_p = 0.79f, .random = 0}), 1);
  EXPECT_EQ(Token(logits, {.top_p = 0.81f, .random = 0}), 0);
}

TEST(TopP, TiesGoToTheLowerId) {
  const std::vector<float> uniform(1000, 2.5f);
  EXPECT_EQ(Token(uniform, {.top_p = 0.0095f, .random = ~uint64_t{0}}), 9);
  EXPECT_EQ(Token(uniform, {.top_k = 100, .top_p = 0.5f, .random = ~uint64_t{0}}), 49);
}

TEST(Infinity, SharesAllTheProbability) {
  const std::vector<float> logits = {1, kInfinity, 3e38f, kInfinity};
  for (float p : {1.0f, 0.9f}) {
    EXPECT_EQ(Token(logits, {.top_p = p, .random = 0}), 1);
    EXPECT_EQ(Token(logits, {.top_p = p, .random = ~uint64_t{0}}), 3);
  }
  const Sampled scored = Sample(logits, {.given = 2, .scored = true, .top_logprobs = 4});
  EXPECT_EQ(scored.logprob, -kInfinity);
  EXPECT_EQ(scored.rank, 3);
  EXPECT_NEAR(scored.top[0].logprob, std::log(0.5), 1e-7);
}

// Log-softmax, rank and alternatives of the model's own distribution.
void ExpectScores(const std::vector<float>& logits, const Sampled& sampled, int32_t asked) {
  const std::vector<TokenId> order = FallingOrder(logits);
  const std::vector<double> probabilities = Softmax(logits, 1);
  const auto near = [&](float logprob, TokenId token) {
    const double p = probabilities[token];
    if (p < 1e-30) return logprob < -60;  // The double softmax itself underflows.
    return std::abs(logprob - std::log(p)) <= 1e-6 * std::max(1.0, std::abs(std::log(p)));
  };
  EXPECT_TRUE(near(sampled.logprob, sampled.token)) << sampled.logprob;
  EXPECT_EQ(order[sampled.rank - 1], sampled.token);
  ASSERT_EQ(sampled.top.size(), std::min<size_t>(asked, logits.size()));
  for (size_t i = 0; i < sampled.top.size(); ++i) {
    EXPECT_EQ(sampled.top[i].token, order[i]);
    EXPECT_TRUE(near(sampled.top[i].logprob, order[i])) << i << " " << sampled.top[i].logprob;
  }
}

// The reference may put the top-p threshold just on the other side of a token when the sum comes
// within rounding of p; both sets are then right.
bool DrawIsRight(const std::vector<float>& logits, const RowRequest& request, TokenId token) {
  std::vector<float> allowed = logits;
  for (TokenId id : request.masked) allowed[id] = -kInfinity;
  const std::vector<TokenId> order = FallingOrder(allowed);
  if (request.temperature == 0) return token == order[0];
  const std::vector<double> probabilities = Softmax(allowed, request.temperature);
  const size_t fewest = KeptCount(probabilities, order, request, -2e-6);
  const size_t most = KeptCount(probabilities, order, request, 2e-6);
  for (size_t kept = fewest; kept <= most; ++kept) {
    if (DrawnBy(Renormalized(probabilities, order, kept), token, request.random, 4e-6)) return true;
  }
  return false;
}

TEST(SampleRow, AgreesWithThePlainReferenceForRandomRowsAndSettings) {
  const uint64_t seed = 5771;
  std::mt19937_64 random(seed);
  const size_t sizes[] = {1, 2, 7, 16, 100, 128, 129, 1000, 4096, 32000};
  const float temperatures[] = {0, 1e-30f, 0.3f, 0.8f, 1, 1.7f, 30, 1e30f};
  const int32_t top_ks[] = {0, 0, 1, 2, 5, 50, 500, 100000};
  const float top_ps[] = {1, 1, 0.999f, 0.95f, 0.5f, 0.01f, 1e-20f};
  for (int round = 0; round < 1500; ++round) {
    const size_t n = sizes[random() % std::size(sizes)];
    std::string kind;
    const std::vector<float> logits = RandomLogits(random, n, &kind);
    std::vector<TokenId> masked;
    if (n > 2 && kind != "one-hot" && random() % 3 == 0) masked = {0, static_cast<TokenId>(n / 2)};
    RowRequest request;
    request.temperature = temperatures[random() % std::size(temperatures)];
    request.top_k = top_ks[random() % std::size(top_ks)];
    request.top_p = top_ps[random() % std::size(top_ps)];
    request.random = random();
    request.masked = masked;
    request.scored = random() % 2 == 0;
    request.top_logprobs = random() % 21;
    SCOPED_TRACE(testing::Message()
                 << "seed " << seed << ", round " << round << ", " << kind << ", n " << n
                 << ", temperature " << request.temperature << ", top_k " << request.top_k
                 << ", top_p " << request.top_p << ", masked " << masked.size());
    const Sampled sampled = Sample(logits, request);
    if (sampled.error == RowError::kNoToken) {
      for (TokenId id : masked) ASSERT_GE(logits[id], -kInfinity);
      ASSERT_LE(std::count_if(logits.begin(), logits.end(),
                              [](float logit) { return logit > -kInfinity; }),
                static_cast<ptrdiff_t>(masked.size()));
      continue;
    }
    ASSERT_EQ(sampled.error, RowError::kNone);
    ASSERT_TRUE(DrawIsRight(logits, request, sampled.token)) << "token " << sampled.token;
    if (request.scored) ExpectScores(logits, sampled, request.top_logprobs);
    if (HasFailure()) return;
  }
}

TEST(SampleRow, AgreesWithTheReferenceAtTheLargestVocabulary) {
  std::mt19937_64 random(99);
  for (int round = 0; round < 12; ++round) {
    std::string kind;
    const std::vector<float> logits = RandomLogits(random, 262144, &kind);
    const RowRequest request{.temperature = 0.9f,
                             .top_k = round % 2 == 0 ? 0 : 5000,
                             .top_p = round % 3 == 0 ? 1 : 0.9f,
                             .random = random(),
                             .scored = true,
                             .top_logprobs = 20};
    SCOPED_TRACE(testing::Message() << "seed 99, round " << round << ", " << kind);
    const Sampled sampled = Sample(logits, request);
    ASSERT_EQ(sampled.error, RowError::kNone);
    ASSERT_TRUE(DrawIsRight(logits, request, sampled.token));
    ExpectScores(logits, sampled, 20);
  }
}

}  // namespace
}  // namespace hocket
