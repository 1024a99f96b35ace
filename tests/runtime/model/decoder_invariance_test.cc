// The product's first promise: a sequence's logits are the same bits alone and in any batch.
#include <unistd.h>

#include <cstring>
#include <filesystem>

#include "gtest/gtest.h"
#include "tests/runtime/model/decoder_harness.h"

namespace hocket {
namespace {

// Positions of rows whose bits differ, for the message.
std::string DifferingRows(const Line& a, const Line& b, int32_t vocabulary) {
  if (a.logits.size() != b.logits.size()) return "sizes differ";
  std::string rows;
  for (size_t row = 0; row < a.logits.size() / vocabulary; ++row) {
    if (std::memcmp(&a.logits[row * vocabulary], &b.logits[row * vocabulary],
                    vocabulary * sizeof(float)) != 0) {
      rows += " " + std::to_string(row);
    }
  }
  return rows;
}

struct Case {
  std::string name;
  Precision precision;
};

class DecoderInvarianceTest : public testing::TestWithParam<Case> {
 protected:
  static constexpr int32_t kTokens = 75;

  void SetUp() override {
    const bool medium = GetParam().name == "medium";
    static const std::string medium_folder = WriteMediumModel();
    folder_ = medium ? medium_folder : FixtureFolder(GetParam().name);
    decoder_ = LoadDecoder(SmallSettings(folder_, GetParam().precision));
    vocabulary_ = decoder_->info().vocabulary_size;
    tokens_ = SomeTokens(kTokens, vocabulary_, 1);
    alone_ = MakeLine(tokens_, 0);
    RunAlone(*decoder_, alone_, {kTokens});
  }

  void ExpectSame(const Line& line) {
    EXPECT_EQ(DifferingRows(alone_, line, vocabulary_), "") << decoder_->info().cpu;
  }

  std::string folder_;
  std::unique_ptr<Decoder> decoder_;
  int32_t vocabulary_ = 0;
  std::vector<TokenId> tokens_;
  Line alone_;
};

TEST_P(DecoderInvarianceTest, AnyChunking) {
  for (const std::vector<int32_t>& sizes :
       {std::vector<int32_t>{1}, {2}, {3, 17, 1, 5}, {16}, {33, 8}, {64, 1}}) {
    Line line = MakeLine(tokens_, 40, 16, 2);
    RunAlone(*decoder_, line, sizes);
    ExpectSame(line);
  }
}

TEST_P(DecoderInvarianceTest, AmongOtherRowsOfEverySize) {
  for (const int32_t neighbour_chunk : {1, 2, 5, 11, 40}) {
    Line line = MakeLine(tokens_, 30);
    Line before = MakeLine(SomeTokens(120, vocabulary_, 2), 0);
    Line after = MakeLine(SomeTokens(120, vocabulary_, 3), 10);
    int32_t chunk = 1;
    while (line.done < kTokens) {
      const int32_t take = std::min(chunk, kTokens - line.done);
      std::vector<Chunk> chunks;
      const auto add = [&](Line& neighbour) {
        const int32_t left = 120 - neighbour.done;
        if (left > 0) chunks.push_back({&neighbour, std::min(neighbour_chunk, left)});
      };
      add(before);
      chunks.push_back({&line, take});
      add(after);
      Step(*decoder_, chunks);
      chunk = chunk % 7 + 1;
    }
    ExpectSame(line);
  }
}

TEST_P(DecoderInvarianceTest, OneThreadOrTwoOrThree) {
  for (const int32_t threads : {1, 3}) {
    const auto other = LoadDecoder(SmallSettings(folder_, GetParam().precision, threads));
    Line whole = MakeLine(tokens_, 5);
    RunAlone(*other, whole, {kTokens});
    ExpectSame(whole);
    Line pieces = MakeLine(tokens_, 20);
    RunAlone(*other, pieces, {9, 1});
    ExpectSame(pieces);
  }
}

TEST_P(DecoderInvarianceTest, AnyStepSizeLimitAndBlockSize) {
  RuntimeSettings settings = SmallSettings(folder_, GetParam().precision);
  settings.max_step_tokens = 500;
  settings.max_running_sequences = 64;
  settings.block_tokens = 48;
  const auto other = LoadDecoder(settings);
  Line line = MakeLine(tokens_, 1, 48);
  RunAlone(*other, line, {31, 2});
  ExpectSame(line);
}

TEST_P(DecoderInvarianceTest, StaleAndForeignBlockContentsDoNotMatter) {
  Line dirt = MakeLine(SomeTokens(90, vocabulary_, 9), 50);
  RunAlone(*decoder_, dirt, {90});
  Line line = MakeLine(tokens_, 50);
  RunAlone(*decoder_, line, {13});
  ExpectSame(line);
}

TEST_P(DecoderInvarianceTest, CopiedBlocksContinueTheSameLine) {
  Line original = MakeLine(tokens_, 60);
  RunAlone(*decoder_, original, {20});
  Line line = MakeLine(tokens_, 70);
  Step(*decoder_, {{&line, 40}});
  // The first two blocks and the part of the third go elsewhere; the old ones are overwritten.
  std::vector<BlockCopy> copies;
  for (int32_t i = 0; i < 3; ++i) {
    copies.push_back({line.blocks[i], 80 + i});
    line.blocks[i] = 80 + i;
  }
  Step(*decoder_, {{&line, 1}}, copies);
  Line dirt = MakeLine(SomeTokens(48, vocabulary_, 4), 70);
  RunAlone(*decoder_, dirt, {48});
  RunAlone(*decoder_, line, {7});
  ExpectSame(line);
}

TEST_P(DecoderInvarianceTest, LogitsInGroupsOfAnySize) {
  StepPlan plan;
  plan.tokens = tokens_;
  plan.rows.push_back({1, 0, 0, kTokens, 0, static_cast<int32_t>(alone_.blocks.size()), true});
  plan.blocks = alone_.blocks;
  std::vector<int32_t> outputs;
  for (int32_t i = 0; i < kTokens; ++i) outputs.push_back(i);
  const auto hidden = decoder_->Forward(plan, outputs);
  ASSERT_TRUE(hidden.ok());
  const int64_t size = decoder_->info().hidden_size;
  Line line;
  for (int32_t first = 0, group = 1; first < kTokens; first += group++) {
    const int32_t rows = std::min(group, kTokens - first);
    std::vector<float> logits(int64_t{rows} * vocabulary_);
    ASSERT_TRUE(
        decoder_->Logits(hidden->subspan(first * size, rows * size), rows, std::span(logits)).ok());
    line.logits.insert(line.logits.end(), logits.begin(), logits.end());
  }
  ExpectSame(line);
}

INSTANTIATE_TEST_SUITE_P(
    Models, DecoderInvarianceTest,
    testing::Values(Case{"llama-gqa", Precision::kF32}, Case{"llama-gqa", Precision::kBf16},
                    Case{"llama-mha-bias", Precision::kF32},
                    Case{"llama-mha-bias", Precision::kBf16},
                    Case{"llama-mqa-sharded", Precision::kF32},
                    Case{"llama-mqa-sharded", Precision::kBf16}, Case{"medium", Precision::kF32},
                    Case{"medium", Precision::kBf16}),
    [](const auto& info) {
      std::string name =
          info.param.name + (info.param.precision == Precision::kF32 ? "_f32" : "_bf16");
      std::replace(name.begin(), name.end(), '-', '_');
      return name;
    });

}  // namespace
}  // namespace hocket
