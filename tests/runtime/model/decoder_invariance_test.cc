// The product's first promise: a sequence's logits are the same bits alone and in any batch.
#include <unistd.h>

#include <cstdio>
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
  KvPrecision kv;
};

class DecoderInvarianceTest : public testing::TestWithParam<Case> {
 protected:
  static constexpr int32_t kTokens = 75;

  void SetUp() override {
    const bool medium = GetParam().name == "medium";
    static const std::string medium_folder = WriteMediumModel();
    folder_ = medium ? medium_folder : FixtureFolder(GetParam().name);
    decoder_ = LoadDecoder(Settings());
    vocabulary_ = decoder_->info().vocabulary_size;
    tokens_ = SomeTokens(kTokens, vocabulary_, 1);
    alone_ = MakeLine(tokens_, 0);
    RunAlone(*decoder_, alone_, {kTokens});
  }

  RuntimeSettings Settings(int32_t threads = 2) const {
    RuntimeSettings settings = SmallSettings(folder_, GetParam().precision, threads);
    settings.kv_precision = GetParam().kv;
    return settings;
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

// Not every machine has every kernel, so a run's report says which ones it has tried.
TEST_P(DecoderInvarianceTest, NamesTheKernelsItTries) {
  std::printf("%s: %s\n", std::string(PrecisionName(GetParam().precision)).c_str(),
              decoder_->info().cpu.c_str());
  EXPECT_NE(decoder_->info().cpu.find("products "), std::string::npos);
}

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
    const auto other = LoadDecoder(Settings(threads));
    Line whole = MakeLine(tokens_, 5);
    RunAlone(*other, whole, {kTokens});
    ExpectSame(whole);
    Line pieces = MakeLine(tokens_, 20);
    RunAlone(*other, pieces, {9, 1});
    ExpectSame(pieces);
  }
}

TEST_P(DecoderInvarianceTest, AnyStepSizeLimitAndBlockSize) {
  RuntimeSettings settings = Settings();
  settings.max_step_tokens = 500;
  settings.max_running_sequences = 64;
  settings.block_tokens = 64;
  const auto other = LoadDecoder(settings);
  Line line = MakeLine(tokens_, 1, 64);
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

// Attention is computed by runs of positions, and one long row by several threads.
TEST_P(DecoderInvarianceTest, LongContexts) {
  if (GetParam().name != "medium") GTEST_SKIP() << "the fixtures have short contexts";
  const int32_t length = 600;
  const std::vector<TokenId> tokens = SomeTokens(length, vocabulary_, 5);
  Line whole = MakeLine(tokens, 0);
  RunAlone(*decoder_, whole, {192});
  Line pieces = MakeLine(tokens, 45);
  RunAlone(*decoder_, pieces, {100, 150, 3, 1, 2, 1, 1, 90, 140, 1});
  EXPECT_EQ(DifferingRows(whole, pieces, vocabulary_), "");
  const auto other = LoadDecoder(Settings(3));
  Line elsewhere = MakeLine(tokens, 3);
  RunAlone(*other, elsewhere, {64, 192, 17, 180, 1});
  EXPECT_EQ(DifferingRows(whole, elsewhere, vocabulary_), "");
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

std::vector<Case> AllCases() {
  std::vector<Case> cases;
  for (const char* model : {"llama-gqa", "llama-mha-bias", "llama-mqa-sharded", "medium"}) {
    for (const Precision precision : {Precision::kF32, Precision::kBf16, Precision::kInt8,
                                      Precision::kInt4, Precision::kInt4G128}) {
      cases.push_back({model, precision, KvPrecision::kAuto});
    }
  }
  cases.push_back({"llama-gqa", Precision::kBf16, KvPrecision::kInt8});
  cases.push_back({"llama-mha-bias", Precision::kInt8, KvPrecision::kInt8});
  cases.push_back({"medium", Precision::kInt4, KvPrecision::kInt8});
  return cases;
}

INSTANTIATE_TEST_SUITE_P(Models, DecoderInvarianceTest, testing::ValuesIn(AllCases()),
                         [](const auto& info) {
                           std::string name = info.param.name + "_" +
                                              std::string(PrecisionName(info.param.precision));
                           if (info.param.kv == KvPrecision::kInt8) name += "_kv_int8";
                           std::replace(name.begin(), name.end(), '-', '_');
                           return name;
                         });

}  // namespace
}  // namespace hocket
