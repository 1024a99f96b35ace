// A context that rolls: what is drawn depends on the tokens still kept and on the places that they
// and those forgotten have taken, and on nothing else.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "runtime/model_executor.h"
#include "runtime/sampling/sampling_stage.h"
#include "tests/runtime/executor_driver.h"
#include "tests/runtime/fake_decoder.h"

namespace hocket {
namespace {

constexpr int32_t kContextTokens = 24;
constexpr int32_t kKeptTokens = 4;

class RollingContextTest : public testing::Test {
 protected:
  void SetUp() override {
    auto loaded =
        Tokenizer::Load(std::string(HOCKET_SOURCE_DIR) + "/tests/runtime/text/fixtures/byte_level");
    ASSERT_TRUE(loaded.ok()) << loaded.status();
    tokenizer_ = *std::move(loaded);
    decoder_ = std::make_unique<FakeDecoder>(tokenizer_->vocabulary_size(), RandomLogitsOf);
    decoder_->mutable_info().max_context_tokens = kContextTokens;
    executor_ = std::make_unique<ModelExecutor>(decoder_.get(), tokenizer_.get(), decoder_->info());
    spec_.sampling.temperature = 0.8f;
    spec_.sampling.seed = 5;
    spec_.stopping.max_new_tokens = 90;
    spec_.stopping.ignore_eos = true;
    spec_.rolls = true;
  }

  // Each token from the logits after those kept, keyed by how many there ever were.
  std::vector<TokenId> ExpectedTokens() {
    SamplingStage stage(tokenizer_->vocabulary_size(), 1);
    std::vector<TokenId> kept = prompt_;
    std::vector<TokenId> drawn;
    while (static_cast<int32_t>(drawn.size()) < spec_.stopping.max_new_tokens) {
      if (static_cast<int32_t>(kept.size()) > kContextTokens) {
        const auto oldest = kept.begin() + kKeptTokens;
        kept.erase(oldest, oldest + (kContextTokens - kKeptTokens) / 2);
      }
      std::vector<float> logits(tokenizer_->vocabulary_size());
      RandomLogitsOf(kept, logits);
      SamplingRows rows;
      rows.Add({.temperature = spec_.sampling.temperature,
                .seed = spec_.sampling.seed,
                .position = static_cast<int32_t>(prompt_.size() + drawn.size())});
      stage.Run(logits, rows);
      kept.push_back(stage.result(0).token);
      drawn.push_back(stage.result(0).token);
    }
    return drawn;
  }

  Answer Roll(int32_t chunk, int32_t preempt_after, DrivenSequence::Guesser guesser = nullptr) {
    DrivenSequence sequence(next_id_++, spec_, prompt_);
    sequence.RollAt(kContextTokens, kKeptTokens);
    sequence.GuessWith(std::move(guesser));
    return RunAlone(*executor_, sequence, chunk, preempt_after);
  }

  const std::vector<TokenId> prompt_ = {40, 41, 42, 43, 44, 45, 46, 47, 48};
  GenerationSpec spec_;
  std::unique_ptr<Tokenizer> tokenizer_;
  std::unique_ptr<FakeDecoder> decoder_;
  std::unique_ptr<ModelExecutor> executor_;
  SequenceId next_id_ = 1;
};

TEST_F(RollingContextTest, DrawsAreOfTheKeptTokensAndKeyedByAllThereEverWere) {
  const Answer answer = Roll(1000, -1);
  EXPECT_TRUE(answer.status.ok()) << answer.status;
  EXPECT_EQ(answer.tokens, ExpectedTokens());
  EXPECT_EQ(answer.finish->reason, FinishReason::kLength);
}

TEST_F(RollingContextTest, ChunksPreemptionsAndGuessesChangeNothing) {
  spec_.sampling.repetition_penalty = 1.3f;
  spec_.output.logprobs = true;
  spec_.output.prompt_logprobs = true;
  spec_.output.embedding = EmbeddingPooling::kMean;
  const Answer plain = Roll(1000, -1);
  ASSERT_EQ(plain.tokens.size(), 90u);
  for (const int32_t preempt_after : {3, 20, 50}) {
    EXPECT_EQ(Printed(Roll(7, preempt_after)), Printed(plain));
  }
  // Right guesses, where the last tokens tell the place; every fourth is wrong.
  const DrivenSequence::Guesser guesser = [&](std::span<const TokenId> tokens) {
    std::vector<TokenId> guesses;
    for (size_t i = 3; i < plain.tokens.size(); ++i) {
      if (!std::equal(tokens.end() - 3, tokens.end(), plain.tokens.begin() + i - 3)) continue;
      for (size_t k = i; k < std::min(i + 5, plain.tokens.size()); ++k) {
        guesses.push_back(k % 4 == 0 ? 2 : plain.tokens[k]);
      }
      break;
    }
    return guesses;
  };
  const Answer guessed = Roll(1000, -1, guesser);
  EXPECT_EQ(Printed(guessed), Printed(plain));
  EXPECT_LT(guessed.texts.size(), 50u);
}

TEST_F(RollingContextTest, AnAnswerResumedInTheMiddleGoesOnAlike) {
  const Answer whole = Roll(1000, -1);
  for (const size_t resumed : {2, 10, 16, 40, 89}) {
    // What the scheduler would have forgotten by then.
    std::vector<TokenId> kept = prompt_;
    int32_t forgotten = 0;
    for (size_t i = 0; i < resumed; ++i) {
      if (static_cast<int32_t>(kept.size()) > kContextTokens) {
        const auto oldest = kept.begin() + kKeptTokens;
        kept.erase(oldest, oldest + (kContextTokens - kKeptTokens) / 2);
        forgotten += (kContextTokens - kKeptTokens) / 2;
      }
      kept.push_back(whole.tokens[i]);
    }
    if (static_cast<int32_t>(kept.size()) > kContextTokens) continue;
    StepPlan plan;
    plan.starts.push_back({.sequence = next_id_,
                           .group = next_id_,
                           .spec = std::make_shared<const GenerationSpec>(spec_),
                           .prompt = std::make_shared<const std::vector<TokenId>>(prompt_),
                           .resumed = std::make_shared<const std::vector<TokenId>>(
                               whole.tokens.begin(), whole.tokens.begin() + resumed)});
    plan.tokens = kept;
    plan.blocks = {7000, 7001};
    plan.rows.push_back({.sequence = next_id_++,
                         .token_count = static_cast<int32_t>(kept.size()),
                         .block_count = 2,
                         .samples = true,
                         .forgotten_tokens = forgotten});
    StepResult result;
    ASSERT_TRUE(executor_->Execute(plan, result).ok());
    ASSERT_TRUE(result.outcomes[0].status.ok()) << result.outcomes[0].status;
    EXPECT_THAT(result.outcomes[0].tokens, testing::ElementsAre(whole.tokens[resumed]))
        << "after " << resumed;
  }
}

}  // namespace
}  // namespace hocket
