#include "runtime/sampling/sampling_stage.h"

#include <gtest/gtest.h>

#include <atomic>
#include <cstdlib>
#include <cstring>
#include <limits>
#include <new>

#include "tests/runtime/sampling/reference_sampler.h"

namespace {
std::atomic<long> allocations = 0;
}

#ifndef __SANITIZE_ADDRESS__  // Which has its own.
// Counts, to show that the stage allocates nothing.
void* operator new(size_t size) {
  ++allocations;
  if (void* memory = std::malloc(size)) return memory;
  throw std::bad_alloc();
}
void operator delete(void* memory) noexcept { std::free(memory); }
void operator delete(void* memory, size_t) noexcept { std::free(memory); }
#endif

namespace hocket {
namespace {

constexpr int32_t kVocabulary = 1003;
constexpr int32_t kRows = 24;

struct Batch {
  std::vector<float> logits;
  std::vector<SamplingRows::Row> settings;
  std::vector<TokenId> masked = {5, 9, 400};
  std::vector<TokenCount> counts = {{3, 1, 0}, {77, 4, 2}, {1002, 1, 1}};
  std::vector<TokenBias> bias = {{12, 5}, {900, -100}};
  std::vector<uint32_t> mask = std::vector<uint32_t>((kVocabulary + 31) / 32, 0x6db6db6d);
  LogitEdits penalties{
      .bias = bias, .counts = counts, .repetition_penalty = 1.3f, .frequency_penalty = 0.2f};
  LogitEdits behind_mask{.counts = counts, .presence_penalty = 1, .constraint = mask};

  Batch(const Batch&) = delete;
  explicit Batch(uint64_t seed) {
    std::mt19937_64 random(seed);
    for (int32_t row = 0; row < kRows; ++row) {
      std::string kind;
      const std::vector<float> one = RandomLogits(random, kVocabulary, &kind);
      logits.insert(logits.end(), one.begin(), one.end());
      SamplingRows::Row setting;
      setting.temperature = row % 4 == 0 ? 0 : 0.2f * static_cast<float>(row);
      setting.top_k = row % 3 == 0 ? 40 : 0;
      setting.top_p = row % 5 == 0 ? 1 : 0.8f;
      setting.min_p = row % 7 == 2 ? 0.05f : 0;
      setting.typical_p = row % 11 == 3 ? 0.9f : 1;
      setting.top_n_sigma = row % 9 == 4 ? 1.5f : 0;
      setting.xtc_probability = row % 5 == 2 ? 0.5f : 0;
      setting.xtc_threshold = 0.1f;
      if (row % 4 == 3) setting.edits = row % 8 == 3 ? &penalties : &behind_mask;
      setting.scored_after = row % 4 == 2;
      setting.seed = random();
      setting.choice_index = row % 2;
      setting.position = 100 + row;
      if (row % 6 == 1 && kind != "one-hot") setting.masked = masked;
      setting.scored = row % 2 == 0;
      setting.top_logprobs = row % 7;
      if (row % 8 == 7) setting.given = row;
      settings.push_back(setting);
    }
  }
  SamplingRows Rows(int32_t begin, int32_t end) const {
    SamplingRows rows;
    for (int32_t row = begin; row < end; ++row) rows.Add(settings[row]);
    return rows;
  }
};

void ExpectSameBits(const SamplingStage& a, int32_t row_a, const SamplingStage& b, int32_t row_b) {
  const RowResult& x = a.result(row_a);
  const RowResult& y = b.result(row_b);
  EXPECT_EQ(x.error, y.error);
  EXPECT_EQ(x.token, y.token);
  EXPECT_EQ(std::memcmp(&x.logprob, &y.logprob, sizeof(float)), 0);
  EXPECT_EQ(x.rank, y.rank);
  ASSERT_EQ(a.top(row_a).size(), b.top(row_b).size());
  for (size_t i = 0; i < a.top(row_a).size(); ++i) {
    EXPECT_EQ(a.top(row_a)[i].token, b.top(row_b)[i].token);
    EXPECT_EQ(std::memcmp(&a.top(row_a)[i].logprob, &b.top(row_b)[i].logprob, sizeof(float)), 0);
  }
}

TEST(SamplingStage, ARowsResultIsTheSameAloneAndInAnyBatchAndForAnyThreads) {
  for (uint64_t seed = 1; seed <= 10; ++seed) {
    SCOPED_TRACE(seed);
    Batch batch(seed);
    const std::vector<float> before = batch.logits;
    SamplingStage together(kVocabulary, 3);
    together.Run(batch.logits, batch.Rows(0, kRows));
    EXPECT_EQ(batch.logits, before);
    SamplingStage alone(kVocabulary, 1);
    for (int32_t row = 0; row < kRows; ++row) {
      SCOPED_TRACE(row);
      alone.Run(std::span(batch.logits).subspan(row * kVocabulary, kVocabulary),
                batch.Rows(row, row + 1));
      ExpectSameBits(together, row, alone, 0);
    }
  }
}

TEST(SamplingStage, ANanSpoilsItsOwnRowOnly) {
  Batch batch(4);
  SamplingStage clean(kVocabulary, 2);
  clean.Run(batch.logits, batch.Rows(0, kRows));
  batch.logits[7 * kVocabulary + 1002] = std::numeric_limits<float>::quiet_NaN();
  SamplingStage spoilt(kVocabulary, 2);
  spoilt.Run(batch.logits, batch.Rows(0, kRows));
  for (int32_t row = 0; row < kRows; ++row) {
    if (row == 7) {
      EXPECT_EQ(spoilt.result(row).error, RowError::kNan);
    } else {
      ExpectSameBits(clean, row, spoilt, row);
    }
  }
}

TEST(SamplingStage, ARowMayTakeAnyOfTheLogits) {
  Batch batch(6);
  SamplingStage in_order(kVocabulary, 2);
  in_order.Run(batch.logits, batch.Rows(0, kRows));
  const std::vector<int32_t> picked = {21, 2, 2, 9};
  SamplingRows rows;
  for (const int32_t row : picked) {
    batch.settings[row].logits_row = row;
    rows.Add(batch.settings[row]);
  }
  SamplingStage some(kVocabulary, 2);
  some.Run(batch.logits, rows);
  for (size_t i = 0; i < picked.size(); ++i) {
    ExpectSameBits(some, static_cast<int32_t>(i), in_order, picked[i]);
  }
}

TEST(SamplingStage, DrawsDependOnSeedChoiceAndPosition) {
  std::vector<float> logits(kVocabulary, 0.0f);
  SamplingStage stage(kVocabulary, 1);
  const auto draw = [&](uint64_t seed, int32_t choice_index, int32_t position) {
    SamplingRows rows;
    rows.Add({.seed = seed, .choice_index = choice_index, .position = position});
    stage.Run(logits, rows);
    return stage.result(0).token;
  };
  const TokenId token = draw(42, 0, 10);
  EXPECT_EQ(draw(42, 0, 10), token);
  EXPECT_NE(draw(43, 0, 10), token);
  EXPECT_NE(draw(42, 1, 10), token);
  EXPECT_NE(draw(42, 0, 11), token);
}

TEST(SamplingStage, XtcActsWithItsProbabilityAndItsOwnRandomNumbers) {
  std::vector<float> logits(kVocabulary, -20.0f);
  logits[4] = 2;
  logits[8] = 1;
  SamplingStage stage(kVocabulary, 1);
  int second = 0;
  constexpr int kDraws = 100000;
  for (int position = 0; position < kDraws; ++position) {
    SamplingRows rows;
    rows.Add({.temperature = 0.05f,
              .xtc_probability = 0.3f,
              .xtc_threshold = 1e-9f,
              .seed = 7,
              .position = position});
    stage.Run(logits, rows);
    if (stage.result(0).token == 8) ++second;
  }
  EXPECT_NEAR(second / static_cast<double>(kDraws), 0.3, 0.006);
}

TEST(SamplingStage, AllocatesNothingOnceItsVectorsHaveGrown) {
#ifdef __SANITIZE_ADDRESS__
  GTEST_SKIP() << "allocations are not counted under AddressSanitizer";
#endif
  Batch batch(3);
  SamplingStage stage(kVocabulary, 2);
  SamplingRows rows;
  const auto step = [&] {
    rows.Clear();
    for (const SamplingRows::Row& row : batch.settings) rows.Add(row);
    stage.Run(batch.logits, rows);
  };
  step();
  const long before = allocations;
  for (int i = 0; i < 3; ++i) step();
  EXPECT_EQ(allocations, before);
}

TEST(SamplingStage, NoRowsAreFine) {
  SamplingStage stage(kVocabulary, 2);
  stage.Run({}, SamplingRows());
}

}  // namespace
}  // namespace hocket
