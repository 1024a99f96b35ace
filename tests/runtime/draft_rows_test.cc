// Rows with guesses: whatever is guessed, an answer's tokens, scores, explanations, text and finish
// are those of the same request without guesses, bit for bit.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <limits>
#include <random>

#include "runtime/model_executor.h"
#include "runtime/text/grammar.h"
#include "tests/runtime/executor_driver.h"
#include "tests/runtime/fake_decoder.h"

namespace hocket {
namespace {

using testing::HasSubstr;
using testing::IsEmpty;

constexpr TokenId kEos = 1;  // "<|endoftext|>" of the fixture's tokenizer.

GenerationSpec RandomText() {
  GenerationSpec spec;
  spec.sampling.seed = 99;
  spec.stopping.max_new_tokens = 40;
  spec.stopping.ignore_eos = true;
  spec.output.logprobs = true;
  spec.output.top_logprobs = 3;
  return spec;
}

class DraftRowsTest : public testing::Test {
 protected:
  void SetUp() override {
    auto loaded =
        Tokenizer::Load(std::string(HOCKET_SOURCE_DIR) + "/tests/runtime/text/fixtures/byte_level");
    ASSERT_TRUE(loaded.ok()) << loaded.status();
    tokenizer_ = *std::move(loaded);
    UseDecoder(RandomLogitsOf);
  }
  void UseDecoder(FakeDecoder::LogitsOf logits_of) {
    decoder_ = std::make_unique<FakeDecoder>(tokenizer_->vocabulary_size(), std::move(logits_of));
    executor_ = std::make_unique<ModelExecutor>(decoder_.get(), tokenizer_.get(), decoder_->info());
  }
  std::vector<TokenId> Encode(const std::string& text) {
    return tokenizer_->Encode(text, /*add_special_tokens=*/false).value();
  }

  // Guesses up to 9 tokens, each right by chance `right`, given what the answer will be.
  DrivenSequence::Guesser Guesser(std::vector<TokenId> prompt, const Answer& plain, double right) {
    prompt.insert(prompt.end(), plain.tokens.begin(), plain.tokens.end());
    return [this, right, all = std::move(prompt)](std::span<const TokenId> tokens) {
      std::vector<TokenId> guesses(random_() % 10);
      for (size_t i = 0; i < guesses.size(); ++i) {
        const size_t place = tokens.size() + i;
        const bool is_right = std::uniform_real_distribution<>()(random_) < right;
        guesses[i] = is_right && place < all.size()
                         ? all[place]
                         : static_cast<TokenId>(random_() % tokenizer_->vocabulary_size());
      }
      return guesses;
    };
  }

  Answer Plain(const GenerationSpec& spec, const std::vector<TokenId>& prompt) {
    DrivenSequence sequence(next_id_++, spec, prompt);
    return RunAlone(*executor_, sequence, 1000);
  }

  // Returns the plain answer.
  Answer ExpectTheSameGuessed(const GenerationSpec& spec, const std::vector<TokenId>& prompt) {
    const Answer plain = Plain(spec, prompt);
    for (const double right : {0.0, 0.5, 0.9, 1.0}) {
      for (int round = 0; round < 4; ++round) {
        DrivenSequence sequence(next_id_++, spec, prompt);
        sequence.GuessWith(Guesser(prompt, plain, right));
        const Answer guessed =
            RunAlone(*executor_, sequence, round % 2 == 0 ? 1000 : 5, round == 3 ? 4 : -1);
        EXPECT_EQ(Printed(guessed), Printed(plain)) << "right " << right << ", seed " << seed_;
      }
    }
    return plain;
  }
  Answer ExpectTheSameGuessed(const GenerationSpec& spec) {
    return ExpectTheSameGuessed(spec, Encode("voices sing by turns"));
  }

  std::unique_ptr<Tokenizer> tokenizer_;
  std::unique_ptr<FakeDecoder> decoder_;
  std::unique_ptr<ModelExecutor> executor_;
  SequenceId next_id_ = 1;
  const uint64_t seed_ = std::random_device()();
  std::mt19937_64 random_{seed_};
};

TEST_F(DraftRowsTest, RightGuessesGiveSeveralTokensInAStep) {
  const std::vector<TokenId> prompt = Encode("voices");
  const Answer plain = Plain(RandomText(), prompt);
  std::vector<TokenId> all = prompt;
  all.insert(all.end(), plain.tokens.begin(), plain.tokens.end());
  DrivenSequence sequence(next_id_++, RandomText(), prompt);
  sequence.GuessWith([&](std::span<const TokenId> tokens) {
    const size_t end = std::min(tokens.size() + 4, all.size());
    return std::vector<TokenId>(all.begin() + tokens.size(), all.begin() + end);
  });
  const Answer guessed = RunAlone(*executor_, sequence, 1000);
  EXPECT_EQ(Printed(guessed), Printed(plain));
  EXPECT_EQ(plain.texts.size(), 40u);
  EXPECT_EQ(guessed.texts.size(), 8u);
}

TEST_F(DraftRowsTest, GreedyAndDrawnTokensAreTheSame) {
  GenerationSpec spec = RandomText();
  EXPECT_EQ(ExpectTheSameGuessed(spec).tokens.size(), 40u);
  spec.output.scored_after_filtering = true;
  spec.output.total_logprob = true;
  spec.sampling.top_p = 0.9f;
  ExpectTheSameGuessed(spec);
  spec.sampling.temperature = 0;
  ExpectTheSameGuessed(spec);
}

TEST_F(DraftRowsTest, PenaltiesSeeOnlyTokensThatWereDrawn) {
  GenerationSpec spec = RandomText();
  spec.sampling.temperature = 0.3f;
  spec.sampling.repetition_penalty = 1.4f;
  spec.sampling.presence_penalty = 0.8f;
  spec.sampling.frequency_penalty = 0.5f;
  spec.sampling.penalty_window_tokens = 11;
  spec.sampling.dry = DrySettings{.multiplier = 2, .allowed_length = 1};
  spec.sampling.xtc = XtcSettings{.probability = 0.5f, .threshold = 0.05f};
  spec.sampling.bad_word_tokens = {{5, 6}, {7}};
  // Few tokens, so that they come again and again.
  UseDecoder([](std::span<const TokenId> tokens, std::span<float> logits) {
    RandomLogitsOf(tokens, logits);
    for (size_t i = 14; i < logits.size(); ++i) logits[i] -= 30;
  });
  const Answer answer = ExpectTheSameGuessed(spec);
  GenerationSpec without = spec;
  without.sampling = {.temperature = 0.3f, .seed = spec.sampling.seed};
  EXPECT_NE(Plain(without, Encode("voices sing by turns")).tokens, answer.tokens);
}

TEST_F(DraftRowsTest, AGrammarHolds) {
  const std::vector<TokenId> ends = {kEos};
  const auto vocabulary =
      GrammarVocabulary::Make(*tokenizer_, ends, tokenizer_->vocabulary_size()).value();
  GenerationSpec spec = RandomText();
  spec.stopping.ignore_eos = false;
  spec.stopping.max_new_tokens = 200;
  spec.grammar = vocabulary->Compile(GrammarKind::kRegex, "([a-f]{3}-){6}[0-9]+!").value();
  const Answer answer = ExpectTheSameGuessed(spec);
  EXPECT_EQ(answer.finish->reason, FinishReason::kConstraint);
  EXPECT_EQ(answer.Text().back(), '!');
}

TEST_F(DraftRowsTest, AStopTokenAmongTheGuessesEndsTheAnswer) {
  GenerationSpec spec = RandomText();
  const Answer whole = Plain(spec, Encode("voices sing by turns"));
  spec.stopping.stop_tokens = {whole.tokens[7]};
  const Answer answer = ExpectTheSameGuessed(spec);
  EXPECT_EQ(answer.finish->reason, FinishReason::kStopToken);
  EXPECT_LE(answer.tokens.size(), 8u);

  spec.stopping.min_new_tokens = 20;  // The token cannot come in its place, but later.
  EXPECT_GE(ExpectTheSameGuessed(spec).tokens.size(), 20u);
}

TEST_F(DraftRowsTest, AStopStringAmongTheGuessesEndsTheText) {
  GenerationSpec spec = RandomText();
  std::vector<TokenId> script;
  for (const char c : std::string("sing by turns and on and on")) {
    script.push_back(Encode(std::string(1, c)).back());
  }
  const std::vector<TokenId> prompt = Encode("voices");
  UseDecoder(Script(prompt.size(), script));
  spec.stopping.stop_strings = {"turns and"};
  const Answer answer = ExpectTheSameGuessed(spec, prompt);
  EXPECT_EQ(answer.Text(), "sing by ");
  EXPECT_EQ(answer.finish->reason, FinishReason::kStopString);

  spec.stopping.stop_strings = {};
  spec.stopping.repetition = RepetitionSettings{.max_pattern_tokens = 8, .min_repeats = 2};
  EXPECT_EQ(ExpectTheSameGuessed(spec, prompt).finish->reason, FinishReason::kRepetition);
}

TEST_F(DraftRowsTest, TheTextsLengthAndTheContextEndItAmongTheGuesses) {
  GenerationSpec spec = RandomText();
  for (const int32_t length : {1, 2, 7}) {
    spec.stopping.max_new_tokens = length;
    const Answer answer = ExpectTheSameGuessed(spec);
    EXPECT_EQ(answer.tokens.size(), static_cast<size_t>(length));
    EXPECT_EQ(answer.finish->reason, FinishReason::kLength);
  }
  ModelInfo info = decoder_->info();
  info.max_context_tokens = 30;
  executor_ = std::make_unique<ModelExecutor>(decoder_.get(), tokenizer_.get(), info);
  spec.stopping.max_new_tokens = 100;
  const std::vector<TokenId> prompt = Encode("voices sing by turns");
  const Answer answer = ExpectTheSameGuessed(spec, prompt);
  EXPECT_EQ(answer.tokens.size(), 30 - prompt.size());
  EXPECT_EQ(answer.finish->reason, FinishReason::kContext);
}

TEST_F(DraftRowsTest, PromptScoresEmbeddingsAndExplanationsAreTheSame) {
  GenerationSpec spec = RandomText();
  spec.sampling.top_k = 30;
  spec.output.prompt_logprobs = true;
  spec.output.embedding = EmbeddingPooling::kMean;
  spec.output.explained_candidates = 4;
  const Answer answer = ExpectTheSameGuessed(spec);
  EXPECT_EQ(answer.explanations.size(), 40u);
  EXPECT_FALSE(answer.prompt_scores.empty());
}

TEST_F(DraftRowsTest, AnErrorAmongTheGuessesComesAfterTheTokensBeforeIt) {
  const std::vector<TokenId> prompt = Encode("voices");
  UseDecoder([&](std::span<const TokenId> tokens, std::span<float> logits) {
    RandomLogitsOf(tokens, logits);
    if (tokens.size() == prompt.size() + 9) logits[3] = std::numeric_limits<float>::quiet_NaN();
  });
  const auto told = [](Answer answer) {
    EXPECT_THAT(std::string(answer.status.message()), HasSubstr("position 11 hold a NaN"));
    answer.status = absl::OkStatus();  // It names the sequence.
    return Printed(answer);
  };
  const Answer plain = Plain(RandomText(), prompt);
  EXPECT_EQ(plain.tokens.size(), 9u);
  for (int round = 0; round < 8; ++round) {
    DrivenSequence sequence(next_id_++, RandomText(), prompt);
    sequence.GuessWith(Guesser(prompt, plain, 0.9));
    EXPECT_EQ(told(RunAlone(*executor_, sequence, 1000)), told(plain)) << "seed " << seed_;
  }
}

TEST_F(DraftRowsTest, AFullStepOfGuessesAndPlainRowsIsTheSame) {
  std::vector<std::unique_ptr<DrivenSequence>> sequences;
  std::vector<DrivenSequence*> pointers;
  std::vector<std::string> plain;
  for (int i = 0; i < 45; ++i) {  // With guesses, more logits than are computed at once.
    GenerationSpec spec = RandomText();
    spec.sampling.seed = i;
    spec.sampling.repetition_penalty = i % 2 == 0 ? 1.2f : 1;
    spec.stopping.max_new_tokens = 20 + i % 7;
    spec.output.prompt_logprobs = i % 5 == 0;
    const std::vector<TokenId> prompt(3 + i % 20, 30 + i);
    const Answer answer = Plain(spec, prompt);
    plain.push_back(Printed(answer));
    sequences.push_back(std::make_unique<DrivenSequence>(next_id_++, spec, prompt));
    if (i % 3 > 0) sequences.back()->GuessWith(Guesser(prompt, answer, i % 3 == 1 ? 0.95 : 0.5));
    pointers.push_back(sequences.back().get());
  }
  RunTogether(*executor_, pointers, 16);
  for (size_t i = 0; i < sequences.size(); ++i) {
    EXPECT_EQ(Printed(sequences[i]->answer), plain[i]) << "sequence " << i << ", seed " << seed_;
  }
  EXPECT_LE(decoder_->largest_logits_call(), 128);
}

TEST_F(DraftRowsTest, GuessesThatCannotBeMeantFailTheirRow) {
  const std::vector<TokenId> prompt = {40, 41, 42};
  const auto message = [&](auto change) {
    DrivenSequence sequence(next_id_++, RandomText(), prompt);
    StepPlan plan;
    sequence.PlanRow(1000, plan);
    change(plan.rows[0]);
    StepResult result;
    EXPECT_TRUE(executor_->Execute(plan, result).ok());
    EXPECT_THAT(result.outcomes[0].tokens, IsEmpty());
    return std::string(result.outcomes[0].status.message());
  };
  EXPECT_THAT(message([](PlanRow& row) { row.draft_tokens = 3; }), HasSubstr("3 guesses"));
  EXPECT_THAT(message([](PlanRow& row) { row.draft_tokens = -1; }), HasSubstr("-1 guesses"));
  EXPECT_THAT(message([](PlanRow& row) { row.draft_tokens = 1; }), HasSubstr("a draw after 2"));
  EXPECT_THAT(message([](PlanRow& row) {
                row.draft_tokens = 1;
                row.samples = false;
              }),
              HasSubstr("1 guesses that does not draw"));
  EXPECT_THAT(message([](PlanRow& row) { row.forgotten_tokens = 1; }), HasSubstr("does not roll"));
}

}  // namespace
}  // namespace hocket
