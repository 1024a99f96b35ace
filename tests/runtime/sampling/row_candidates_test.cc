// The likeliest tokens of a row, as a beam search asks for them, against plain double precision.
#include <gtest/gtest.h>

#include <cmath>
#include <limits>

#include "runtime/sampling/sampling_stage.h"
#include "tests/runtime/sampling/reference_chain.h"
#include "tests/runtime/sampling/reference_sampler.h"

namespace hocket {
namespace {

constexpr float kInfinity = std::numeric_limits<float>::infinity();

struct Told : RowResult {
  std::vector<TokenLogprob> top;
  std::vector<RowCandidate> candidates;
};

Told Tell(std::vector<float> logits, const RowRequest& request) {
  const std::vector<float> before = logits;
  RowScratch scratch(logits.size());
  Told told;
  told.top.resize(request.top_logprobs);
  told.candidates.resize(request.candidates);
  static_cast<RowResult&>(told) = SampleRow(logits, request, scratch, told.top, told.candidates);
  told.top.resize(told.top_count);
  told.candidates.resize(told.candidate_count);
  EXPECT_EQ(logits, before) << "a logit was changed";
  return told;
}

double LogProbability(const std::vector<float>& logits, TokenId token) {
  return std::log(Softmax(logits, 1)[token]);
}

struct Rules {
  std::vector<TokenId> masked = {2, 7};
  std::vector<TokenBias> bias = {{4, 3}, {11, -2}};
  std::vector<TokenCount> counts = {{1, 2, 1}, {5, 1, 0}, {9, 3, 3}};
  std::vector<uint32_t> mask;
  LogitEdits edits;

  Rules(size_t vocabulary, bool behind_mask) : mask((vocabulary + 31) / 32, 0xf7f7f7f7) {
    edits.bias = bias;
    edits.counts = counts;
    edits.repetition_penalty = 1.4f;
    edits.frequency_penalty = 0.3f;
    if (behind_mask) edits.constraint = mask;
  }
};

TEST(RowCandidates, AreTheLikeliestAfterTheEditsWithTheirLogSoftmax) {
  constexpr uint64_t kSeed = 20261121;
  SCOPED_TRACE(testing::Message() << "seed " << kSeed);
  std::mt19937_64 random(kSeed);
  for (int round = 0; round < 400; ++round) {
    const size_t vocabulary = 40 + random() % 2000;
    std::string kind;
    const std::vector<float> logits = RandomLogits(random, vocabulary, &kind);
    SCOPED_TRACE(testing::Message() << "round " << round << ", " << kind);
    const Rules rules(vocabulary, round % 3 == 0);
    RowRequest request;
    if (round % 4 != 0) request.edits = &rules.edits;
    if (round % 4 >= 2) request.masked = rules.masked;
    const ReferenceRow reference{.logits = EditedLogits(logits, request)};
    // These must not act.
    request.temperature = 0.3f;
    request.top_k = 2;
    request.candidates = 1 + static_cast<int32_t>(random() % 130);
    const Told told = Tell(logits, request);
    std::vector<TokenId> expected = FallingOrder(reference.logits);
    std::erase_if(expected, [&](TokenId id) { return reference.logits[id] == -kInfinity; });
    if (expected.empty()) {
      EXPECT_EQ(told.error, RowError::kNoToken);
      continue;
    }
    expected.resize(std::min<size_t>(expected.size(), request.candidates));
    ASSERT_EQ(told.error, RowError::kNone);
    ASSERT_EQ(told.candidates.size(), expected.size());
    for (size_t i = 0; i < expected.size(); ++i) {
      ASSERT_EQ(told.candidates[i].token, expected[i]) << i;
      const double logprob = LogProbability(reference.logits, expected[i]);
      if (!std::isfinite(logprob)) continue;  // Beside +inf, or too unlikely for a double.
      ASSERT_NEAR(told.candidates[i].logprob, logprob, 2e-6 * (1 + std::abs(logprob))) << i;
    }
  }
}

TEST(RowCandidates, AreScoredByTheModelOrByWhatTheEditsLeave) {
  const std::vector<float> logits = {1, 4, 2, 3, 0};
  const std::vector<TokenBias> bias = {{0, 5}};
  const std::vector<TokenId> banned = {1};
  const LogitEdits edits{.bias = bias, .banned = banned};
  const std::vector<float> edited = {6, -kInfinity, 2, 3, 0};
  RowRequest request{.edits = &edits, .scored = true, .top_logprobs = 3, .candidates = 2};
  Told told = Tell(logits, request);
  ASSERT_EQ(told.candidates.size(), 2u);
  EXPECT_EQ(told.candidates[0].token, 0);
  EXPECT_EQ(told.candidates[1].token, 3);
  EXPECT_NEAR(told.candidates[0].logprob, LogProbability(edited, 0), 1e-6);
  EXPECT_NEAR(told.candidates[0].score, LogProbability(logits, 0), 1e-6);
  EXPECT_EQ(told.candidates[0].rank, 4);
  EXPECT_EQ(told.candidates[1].rank, 2);
  ASSERT_EQ(told.top.size(), 3u);
  EXPECT_EQ(told.top[0].token, 1);
  EXPECT_NEAR(told.top[2].logprob, LogProbability(logits, 2), 1e-6);

  request.scored_after = true;
  told = Tell(logits, request);
  EXPECT_EQ(told.candidates[0].score, told.candidates[0].logprob);
  EXPECT_EQ(told.candidates[0].rank, 1);
  EXPECT_EQ(told.candidates[1].rank, 2);
  ASSERT_EQ(told.top.size(), 3u);
  EXPECT_EQ(told.top[0].token, 0);
  EXPECT_NEAR(told.top[2].logprob, LogProbability(edited, 2), 1e-6);
}

TEST(RowCandidates, OfARowThatWasNotEditedHaveTheModelsScores) {
  std::mt19937_64 random(5);
  std::string kind;
  const std::vector<float> logits = RandomLogits(random, 700, &kind);
  RowRequest request{.scored = true, .top_logprobs = 5, .candidates = 40};
  const Told plain = Tell(logits, request);
  const LogitEdits nothing;
  request.edits = &nothing;
  const Told edited = Tell(logits, request);
  EXPECT_EQ(plain.candidates, edited.candidates);
  ASSERT_EQ(plain.top_count, 5);
  for (int i = 0; i < 5; ++i) EXPECT_EQ(plain.top[i].logprob, edited.top[i].logprob);
}

TEST(RowCandidates, LeaveOutWhatCannotCome) {
  const Told told = Tell({-kInfinity, 1, -kInfinity, 1}, {.candidates = 4});
  ASSERT_EQ(told.candidates.size(), 2u);
  EXPECT_EQ(told.candidates[0].token, 1);
  EXPECT_EQ(told.candidates[1].token, 3);
  const std::vector<TokenId> masked = {1, 3};
  EXPECT_EQ(Tell({-kInfinity, 1, -kInfinity, 1}, {.masked = masked, .candidates = 4}).error,
            RowError::kNoToken);
}

TEST(RowCandidates, StandBesideRowsThatDraw) {
  constexpr int32_t kVocabulary = 300;
  std::mt19937_64 random(9);
  std::vector<float> logits(4 * kVocabulary);
  std::normal_distribution<float> normal;
  for (float& logit : logits) logit = normal(random);
  SamplingRows rows;
  rows.Add({.temperature = 0});
  rows.Add({.scored = true, .top_logprobs = 2, .candidates = 7});
  rows.Add({.temperature = 0, .scored = true, .top_logprobs = 3});
  rows.Add({.candidates = 500});
  SamplingStage stage(kVocabulary, 2);
  stage.Run(logits, rows);
  EXPECT_EQ(stage.candidates(0).size(), 0u);
  EXPECT_EQ(stage.candidates(1).size(), 7u);
  EXPECT_EQ(stage.top(1).size(), 2u);
  EXPECT_EQ(stage.top(1)[1].token, stage.candidates(1)[1].token);
  EXPECT_EQ(stage.top(2).size(), 3u);
  EXPECT_EQ(stage.candidates(3).size(), 300u);
  const std::vector<float> last(logits.begin() + 3 * kVocabulary, logits.end());
  const Told alone = Tell(last, {.candidates = 500});
  for (size_t i = 0; i < alone.candidates.size(); ++i) {
    EXPECT_EQ(stage.candidates(3)[i], alone.candidates[i]);
  }
}

}  // namespace
}  // namespace hocket
