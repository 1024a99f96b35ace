// Beam search with the fixture models finds what transformers found with them
// (tests/fixtures/models/make_beams.py): the same sequences, and the same scores.
#include <gtest/gtest.h>

#include <cmath>
#include <fstream>
#include <nlohmann/json.hpp>

#include "runtime/model/decoder.h"
#include "runtime/model_executor.h"
#include "tests/runtime/beam_driver.h"

namespace hocket {
namespace {

using EarlyStopping = BeamSettings::EarlyStopping;

constexpr double kTolerance = 1e-4;

std::string ModelFolder(const std::string& name) {
  return std::string(HOCKET_SOURCE_DIR) + "/tests/fixtures/models/" + name;
}

EarlyStopping StoppingOf(const std::string& name) {
  if (name == "never") return EarlyStopping::kNever;
  return name == "always" ? EarlyStopping::kAlways : EarlyStopping::kHeuristic;
}

GenerationSpec SpecOf(const nlohmann::json& search) {
  GenerationSpec spec;
  spec.beam = BeamSettings{.width = search["width"],
                           .returned = search["width"],
                           .length_penalty = search["length_penalty"],
                           .early_stopping = StoppingOf(search["early_stopping"])};
  spec.stopping.max_new_tokens = search["max_new_tokens"];
  spec.stopping.min_new_tokens = search["min_new_tokens"];
  spec.stopping.stop_tokens = search["stop_tokens"].get<std::vector<TokenId>>();
  spec.stopping.ignore_eos = true;
  spec.sampling.banned_tokens = search["banned_tokens"].get<std::vector<TokenId>>();
  return spec;
}

class BeamReferenceTest : public testing::TestWithParam<const char*> {
 protected:
  void SetUp() override {
    RuntimeSettings settings;
    settings.model_dir = ModelFolder(GetParam());
    settings.precision = Precision::kF32;
    settings.weight_cache = "off";
    settings.threads = 2;
    settings.kv_cache_bytes = 48 << 20;
    auto decoder = Decoder::Load(settings);
    ASSERT_TRUE(decoder.ok()) << decoder.status();
    decoder_ = *std::move(decoder);
    // The models have no tokenizer of their own; its text does not matter here.
    auto tokenizer =
        Tokenizer::Load(std::string(HOCKET_SOURCE_DIR) + "/tests/runtime/text/fixtures/byte_level");
    ASSERT_TRUE(tokenizer.ok()) << tokenizer.status();
    tokenizer_ = *std::move(tokenizer);
    executor_ = std::make_unique<ModelExecutor>(decoder_.get(), tokenizer_.get(), decoder_->info());
    searches_ = nlohmann::json::parse(std::ifstream(settings.model_dir + "/beams.json"));
    ASSERT_GE(searches_.size(), 9u);
  }

  std::unique_ptr<Decoder> decoder_;
  std::unique_ptr<Tokenizer> tokenizer_;
  std::unique_ptr<ModelExecutor> executor_;
  nlohmann::json searches_;
};

TEST_P(BeamReferenceTest, SequencesAndScoresAreTransformers) {
  for (const nlohmann::json& search : searches_) {
    SCOPED_TRACE(search.dump());
    DrivenBeams beams(1, SpecOf(search), search["prompt"].get<std::vector<TokenId>>(),
                      {.chunk = 7, .copies = true, .blocks_per_sequence = 4});
    const std::vector<Answer> answers = RunBeams(*executor_, beams);
    ASSERT_EQ(answers.size(), search["sequences"].size());
    for (size_t i = 0; i < answers.size(); ++i) {
      ASSERT_TRUE(answers[i].status.ok()) << answers[i].status;
      ASSERT_EQ(answers[i].tokens, search["sequences"][i].get<std::vector<TokenId>>()) << i;
      // Their scores are in single precision, so the penalty is taken off before they are compared.
      const double divisor = std::pow(static_cast<double>(answers[i].tokens.size()),
                                      search["length_penalty"].get<double>());
      const Finish& finish = *answers[i].finish;
      EXPECT_NEAR(*finish.total_logprob, search["scores"][i].get<double>() * divisor, kTolerance);
      EXPECT_DOUBLE_EQ(*finish.score, *finish.total_logprob / divisor);
    }
  }
}

TEST_P(BeamReferenceTest, CopiedBlocksComputedTokensAndPreemptionsGiveTheSameBits) {
  const nlohmann::json& search = searches_[6];  // Of width 8.
  const auto prompt = search["prompt"].get<std::vector<TokenId>>();
  GenerationSpec spec = SpecOf(search);
  spec.output.logprobs = true;
  DrivenBeams copied(1, spec, prompt, {.chunk = 1000, .copies = true, .blocks_per_sequence = 4});
  const std::string expected = Printed(RunBeams(*executor_, copied));
  EXPECT_GT(copied.copies(), 0);
  DrivenBeams computed(2, spec, prompt, {.chunk = 3, .blocks_per_sequence = 4});
  EXPECT_EQ(Printed(RunBeams(*executor_, computed)), expected);
  DrivenBeams preempted(3, spec, prompt, {.chunk = 1000, .copies = true, .blocks_per_sequence = 4});
  EXPECT_EQ(Printed(RunBeams(*executor_, preempted, 5)), expected);
}

INSTANTIATE_TEST_SUITE_P(Fixtures, BeamReferenceTest,
                         testing::Values("llama-gqa", "llama-mha-bias", "llama-mqa-sharded",
                                         "qwen2"),
                         [](const auto& info) {
                           std::string name = info.param;
                           std::replace(name.begin(), name.end(), '-', '_');
                           return name;
                         });

}  // namespace
}  // namespace hocket
