// The decoder computes what transformers computes.
#include <algorithm>
#include <cmath>

#include "gtest/gtest.h"
#include "tests/runtime/model/decoder_harness.h"

namespace hocket {
namespace {

struct Errors {
  double mean = 0;
  double worst = 0;
};

Errors Compare(const std::vector<float>& logprobs, const std::vector<float>& expected) {
  Errors errors;
  EXPECT_EQ(logprobs.size(), expected.size());
  for (size_t i = 0; i < std::min(logprobs.size(), expected.size()); ++i) {
    const double error = std::abs(double{logprobs[i]} - expected[i]);
    errors.mean += error / static_cast<double>(expected.size());
    errors.worst = std::isnan(error) ? 1e9 : std::max(errors.worst, error);
  }
  return errors;
}

class DecoderReferenceTest : public testing::TestWithParam<const char*> {
 protected:
  Errors Run(Decoder& decoder, const std::vector<int32_t>& chunk_sizes, int32_t stride = 1) {
    Line line = MakeLine(reference_.tokens, 3, 16, stride);
    RunAlone(decoder, line, chunk_sizes);
    return Compare(LogSoftmax(line.logits, decoder.info().vocabulary_size), reference_.logprobs);
  }

  Reference reference_ = LoadReference(GetParam());
};

TEST_P(DecoderReferenceTest, PrefillInOneGoAgreesInF32) {
  const auto decoder = LoadDecoder(SmallSettings(FixtureFolder(GetParam()), Precision::kF32));
  EXPECT_LT(Run(*decoder, {80}).worst, 1e-4);
}

TEST_P(DecoderReferenceTest, ChunksOfOddSizesAgreeInF32) {
  const auto decoder = LoadDecoder(SmallSettings(FixtureFolder(GetParam()), Precision::kF32));
  EXPECT_LT(Run(*decoder, {7, 1, 23, 5, 16, 13}, 2).worst, 1e-4);
}

TEST_P(DecoderReferenceTest, DecodingTokenByTokenAgreesInF32) {
  const auto decoder = LoadDecoder(SmallSettings(FixtureFolder(GetParam()), Precision::kF32));
  EXPECT_LT(Run(*decoder, {1}).worst, 1e-4);
}

TEST_P(DecoderReferenceTest, Bf16IsNoFurtherThanTwiceTransformersOwnBf16) {
  const auto decoder = LoadDecoder(SmallSettings(FixtureFolder(GetParam()), Precision::kBf16));
  const Errors errors = Run(*decoder, {80});
  std::printf("%s: mean %.4f (transformers %.4f), worst %.4f (transformers %.4f), on %s\n",
              GetParam(), errors.mean, reference_.bf16_mean_error, errors.worst,
              reference_.bf16_worst_error, decoder->info().cpu.c_str());
  EXPECT_LT(errors.mean, 2 * reference_.bf16_mean_error);
  EXPECT_LT(errors.worst, 2 * reference_.bf16_worst_error);
  EXPECT_GT(errors.worst, 1e-4) << "this was no bf16 run";
}

INSTANTIATE_TEST_SUITE_P(Fixtures, DecoderReferenceTest,
                         testing::Values("llama-gqa", "llama-mha-bias", "llama-mqa-sharded",
                                         "qwen2"),
                         [](const auto& info) {
                           std::string name = info.param;
                           std::replace(name.begin(), name.end(), '-', '_');
                           return name;
                         });

}  // namespace
}  // namespace hocket
