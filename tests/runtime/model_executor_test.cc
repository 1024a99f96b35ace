#include "runtime/model_executor.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <limits>

#include "tests/runtime/executor_driver.h"
#include "tests/runtime/fake_decoder.h"

namespace hocket {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;

constexpr TokenId kEos = 1;  // "<|endoftext|>" of the fixture's tokenizer.

class ModelExecutorTest : public testing::Test {
 protected:
  static void SetUpTestSuite() {
    auto loaded =
        Tokenizer::Load(std::string(HOCKET_SOURCE_DIR) + "/tests/runtime/text/fixtures/byte_level");
    ASSERT_TRUE(loaded.ok()) << loaded.status();
    tokenizer_ = std::move(*loaded).release();
  }
  static void TearDownTestSuite() {
    delete tokenizer_;
    tokenizer_ = nullptr;
  }

  std::vector<TokenId> Encode(std::string_view text) {
    auto tokens = tokenizer_->Encode(text, /*add_special_tokens=*/false);
    EXPECT_TRUE(tokens.ok()) << tokens.status();
    return *tokens;
  }
  void UseDecoder(FakeDecoder::LogitsOf logits_of) {
    decoder_ = std::make_unique<FakeDecoder>(tokenizer_->vocabulary_size(), std::move(logits_of));
    executor_ = std::make_unique<ModelExecutor>(decoder_.get(), tokenizer_, decoder_->info());
  }
  Answer Run(const GenerationSpec& spec, std::vector<TokenId> prompt, int32_t chunk = 1000,
             int32_t preempt_after = -1, int32_t choice_index = 0) {
    DrivenSequence sequence(next_id_++, spec, std::move(prompt), choice_index);
    return RunAlone(*executor_, sequence, chunk, preempt_after);
  }
  // The model says `script`, greedily, after a short prompt.
  Answer Say(GenerationSpec spec, std::vector<TokenId> script) {
    const std::vector<TokenId> prompt = Encode("voices");
    UseDecoder(Script(prompt.size(), std::move(script)));
    spec.sampling.temperature = 0;
    return Run(spec, prompt);
  }

  static Tokenizer* tokenizer_;
  std::unique_ptr<FakeDecoder> decoder_;
  std::unique_ptr<ModelExecutor> executor_;
  SequenceId next_id_ = 1;
};

Tokenizer* ModelExecutorTest::tokenizer_ = nullptr;

std::vector<TokenId> Then(std::vector<TokenId> tokens, std::vector<TokenId> more) {
  tokens.insert(tokens.end(), more.begin(), more.end());
  return tokens;
}

TEST_F(ModelExecutorTest, EndOfTextEndsTheAnswerAndIsNotInItsText) {
  const Answer answer = Say({}, Then(Encode(" sing by turns"), {kEos}));
  EXPECT_EQ(answer.Text(), " sing by turns");
  EXPECT_EQ(answer.tokens.back(), kEos);
  ASSERT_TRUE(answer.finish.has_value());
  EXPECT_EQ(answer.finish->reason, FinishReason::kStopToken);
  EXPECT_EQ(answer.finish->stop_token, kEos);
}

TEST_F(ModelExecutorTest, IgnoreEosGoesOn) {
  GenerationSpec spec;
  spec.stopping.ignore_eos = true;
  spec.stopping.max_new_tokens = 3;
  const TokenId a = Encode("a")[0];
  const Answer answer = Say(spec, {a, kEos, a});
  EXPECT_THAT(answer.tokens, ElementsAre(a, kEos, a));
  EXPECT_EQ(answer.Text(), "aa");
  EXPECT_EQ(answer.finish->reason, FinishReason::kLength);
}

TEST_F(ModelExecutorTest, SpecialTokensAreWrittenOutWhereAsked) {
  GenerationSpec spec;
  spec.stopping.ignore_eos = true;
  spec.stopping.max_new_tokens = 1;
  spec.output.special_tokens_in_text = true;
  EXPECT_EQ(Say(spec, {kEos}).Text(), "<|endoftext|>");
}

TEST_F(ModelExecutorTest, RequestedStopTokensEndTheAnswer) {
  const TokenId x = Encode("x")[0];
  GenerationSpec spec;
  spec.stopping.stop_tokens = {x};
  const Answer answer = Say(spec, {Encode("a")[0], x});
  EXPECT_EQ(answer.Text(), "a");
  EXPECT_EQ(answer.finish->reason, FinishReason::kStopToken);
  EXPECT_EQ(answer.finish->stop_token, x);
}

TEST_F(ModelExecutorTest, StopTokensCannotBeDrawnBeforeMinNewTokens) {
  const TokenId a = Encode("a")[0];
  const std::vector<TokenId> prompt = Encode("voices");
  UseDecoder([&](std::span<const TokenId>, std::span<float> logits) {
    logits[kEos] = 50;
    logits[a] = 20;
  });
  GenerationSpec spec;
  spec.sampling.temperature = 0;
  spec.stopping.min_new_tokens = 3;
  spec.output.logprobs = true;
  const Answer answer = Run(spec, prompt);
  EXPECT_THAT(answer.tokens, ElementsAre(a, a, a, kEos));
  EXPECT_EQ(answer.scores[0].rank, 2);  // Scored as the model said it.
  EXPECT_NEAR(answer.scores[0].logprob, -30, 1e-4);
}

TEST_F(ModelExecutorTest, AStopStringSplitOverTokensIsFoundAndNeverShown) {
  GenerationSpec spec;
  spec.stopping.stop_strings = {"by turns"};
  std::vector<TokenId> script;
  for (char c : std::string_view("sing by turns and on")) {
    script.push_back(Encode(std::string(1, c)).back());
  }
  const Answer answer = Say(spec, script);
  EXPECT_EQ(answer.Text(), "sing ");
  EXPECT_EQ(answer.finish->reason, FinishReason::kStopString);
  EXPECT_EQ(answer.finish->stop_string, "by turns");
  for (const std::string& text : answer.texts) EXPECT_THAT(text, testing::Not(HasSubstr("b")));

  spec.stopping.include_stop_string = true;
  EXPECT_EQ(Say(spec, script).Text(), "sing by turns");
}

TEST_F(ModelExecutorTest, HeldBackTextIsReleasedAtTheEnd) {
  GenerationSpec spec;
  spec.stopping.stop_strings = {"abcdef"};
  std::vector<TokenId> script = {Encode("a")[0], Encode("b")[0], Encode("c")[0]};
  spec.stopping.max_new_tokens = 3;
  Answer answer = Say(spec, script);
  EXPECT_EQ(answer.Text(), "abc");
  EXPECT_THAT(answer.texts, ElementsAre("", "", "abc"));
  EXPECT_EQ(answer.finish->reason, FinishReason::kLength);

  spec.stopping.max_new_tokens = 100;
  answer = Say(spec, Then(script, {kEos}));
  EXPECT_EQ(answer.Text(), "abc");
}

TEST_F(ModelExecutorTest, HalfACharacterIsHeldUntilItIsWhole) {
  const std::vector<TokenId> snowman = Encode("\u2603");
  ASSERT_GT(snowman.size(), 1u);
  GenerationSpec spec;
  spec.stopping.max_new_tokens = static_cast<int32_t>(snowman.size());
  const Answer answer = Say(spec, snowman);
  EXPECT_EQ(answer.Text(), "\u2603");
  for (size_t i = 0; i + 1 < answer.texts.size(); ++i) EXPECT_EQ(answer.texts[i], "");

  spec.stopping.max_new_tokens = 1;
  EXPECT_EQ(Say(spec, snowman).Text(), "\ufffd");
}

TEST_F(ModelExecutorTest, TheContextLimitEndsTheAnswer) {
  const std::vector<TokenId> prompt = Encode("voices");
  UseDecoder(RandomLogitsOf);
  ModelInfo info = decoder_->info();
  info.max_context_tokens = static_cast<int32_t>(prompt.size()) + 4;
  info.end_of_text_tokens.clear();
  executor_ = std::make_unique<ModelExecutor>(decoder_.get(), tokenizer_, info);
  const Answer answer = Run({}, prompt);
  EXPECT_EQ(answer.tokens.size(), 4u);
  EXPECT_EQ(answer.finish->reason, FinishReason::kContext);
}

TEST_F(ModelExecutorTest, NothingIsDrawnWhenNoTokensAreAskedFor) {
  UseDecoder(RandomLogitsOf);
  GenerationSpec spec;
  spec.stopping.max_new_tokens = 0;
  const Answer answer = Run(spec, Encode("voices sing"), 2);
  EXPECT_THAT(answer.tokens, IsEmpty());
  EXPECT_EQ(answer.finish->reason, FinishReason::kLength);
}

TEST_F(ModelExecutorTest, PenaltiesBansAndBiasDecideWhatComesNext) {
  const std::vector<TokenId> prompt = Encode("voices");
  const TokenId a = Encode("a")[0];
  const TokenId b = Encode("b")[0];
  const TokenId c = Encode("c")[0];
  UseDecoder([&](std::span<const TokenId>, std::span<float> logits) {
    logits[a] = 22;
    logits[b] = 21;
    logits[c] = 20;
  });
  GenerationSpec spec;
  spec.sampling.temperature = 0;
  spec.stopping.max_new_tokens = 4;
  EXPECT_THAT(Run(spec, prompt).tokens, ElementsAre(a, a, a, a));
  spec.sampling.frequency_penalty = 0.9f;
  EXPECT_THAT(Run(spec, prompt).tokens, ElementsAre(a, a, b, a));
  spec.sampling.frequency_penalty = 0;
  spec.sampling.presence_penalty = 5;
  EXPECT_THAT(Run(spec, prompt).tokens, ElementsAre(a, b, c, a));
  spec.sampling.presence_penalty = 0;
  spec.sampling.repetition_penalty = 1.5f;
  spec.sampling.penalty_window_tokens = 1;
  EXPECT_THAT(Run(spec, prompt).tokens, ElementsAre(a, b, a, b));
  spec.sampling.repetition_penalty = 1;
  spec.sampling.banned_tokens = {a};
  EXPECT_THAT(Run(spec, prompt).tokens, ElementsAre(b, b, b, b));
  spec.sampling.allowed_tokens = {a, c};
  EXPECT_THAT(Run(spec, prompt).tokens, ElementsAre(c, c, c, c));
  spec.sampling.allowed_tokens.clear();
  spec.sampling.banned_tokens.clear();
  spec.sampling.bad_word_tokens = {{a, a}, {b}};
  EXPECT_THAT(Run(spec, prompt).tokens, ElementsAre(a, c, a, c));
  spec.sampling.bad_word_tokens.clear();
  spec.sampling.logit_bias = {{c, 3}};
  EXPECT_THAT(Run(spec, prompt).tokens, ElementsAre(c, c, c, c));
}

TEST_F(ModelExecutorTest, ScoresAreOfWhatWasDrawnFromWhereAsked) {
  const std::vector<TokenId> prompt = Encode("voices");
  const TokenId a = Encode("a")[0];
  const TokenId b = Encode("b")[0];
  UseDecoder([&](std::span<const TokenId>, std::span<float> logits) {
    logits[a] = 21;
    logits[b] = 20;
  });
  GenerationSpec spec;
  spec.sampling.top_k = 2;
  spec.sampling.logit_bias = {{a, -1}};
  spec.stopping.max_new_tokens = 1;
  spec.output.logprobs = true;
  spec.output.top_logprobs = 5;
  spec.output.scored_after_filtering = true;
  const Answer after = Run(spec, prompt);
  EXPECT_NEAR(after.scores[0].logprob, std::log(0.5), 1e-6);
  EXPECT_EQ(after.scores[0].top.size(), 2u);
  spec.output.scored_after_filtering = false;
  const Answer before = Run(spec, prompt);
  EXPECT_EQ(before.tokens, after.tokens);
  EXPECT_EQ(before.scores[0].top.size(), 5u);
  EXPECT_NEAR(before.scores[0].top[0].logprob, std::log(1 / (1 + std::exp(-1.0))), 1e-4);
}

GenerationSpec EverythingAsked() {
  GenerationSpec spec;
  spec.sampling = {.temperature = 0.9f,
                   .top_k = 100,
                   .top_p = 0.95f,
                   .min_p = 0.001f,
                   .typical_p = 0.97f,
                   .top_n_sigma = 4,
                   .seed = 1234,
                   .repetition_penalty = 1.1f,
                   .presence_penalty = 0.2f,
                   .frequency_penalty = 0.1f,
                   .penalty_window_tokens = 9,
                   .dry = DrySettings{.allowed_length = 1},
                   .xtc = XtcSettings{.probability = 0.4f, .threshold = 0.05f},
                   .logit_bias = {{3, 1.5f}, {9, -2}},
                   .banned_tokens = {4},
                   .bad_word_tokens = {{5, 6}, {7}}};
  spec.stopping.max_new_tokens = 12;
  spec.stopping.ignore_eos = true;
  spec.output.logprobs = true;
  spec.output.top_logprobs = 3;
  spec.output.prompt_logprobs = true;
  spec.output.prompt_top_logprobs = 2;
  spec.output.embedding = EmbeddingPooling::kMean;
  return spec;
}

TEST_F(ModelExecutorTest, PromptScoresAreOfTheModelsDistribution) {
  UseDecoder(RandomLogitsOf);
  const std::vector<TokenId> prompt = Encode("the voices sing by turns");
  GenerationSpec spec = EverythingAsked();
  spec.stopping.max_new_tokens = 0;
  const Answer answer = Run(spec, prompt);
  ASSERT_EQ(answer.prompt_scores.size(), prompt.size() - 1);
  std::vector<float> logits(tokenizer_->vocabulary_size());
  for (size_t i = 1; i < prompt.size(); ++i) {
    RandomLogitsOf(std::span(prompt).first(i), logits);
    double sum = 0;
    for (float logit : logits) sum += std::exp(static_cast<double>(logit));
    EXPECT_EQ(answer.prompt_scores[i - 1].token, prompt[i]);
    EXPECT_NEAR(answer.prompt_scores[i - 1].logprob, logits[prompt[i]] - std::log(sum), 1e-5);
    EXPECT_EQ(answer.prompt_scores[i - 1].top.size(), 2u);
  }
}

TEST_F(ModelExecutorTest, ChunksAndPreemptionsChangeNothing) {
  UseDecoder(RandomLogitsOf);
  std::vector<TokenId> prompt;
  for (TokenId token = 10; token < 60; ++token) prompt.push_back(token * 3);
  const std::string expected = Printed(Run(EverythingAsked(), prompt));
  EXPECT_THAT(expected, HasSubstr("tokens"));
  for (int32_t chunk : {1, 2, 7, 16, 49, 50}) {
    EXPECT_EQ(Printed(Run(EverythingAsked(), prompt, chunk)), expected) << "chunk " << chunk;
  }
  for (int32_t preempt_after = 1; preempt_after < 16; ++preempt_after) {
    EXPECT_EQ(Printed(Run(EverythingAsked(), prompt, 9, preempt_after)), expected)
        << "preempted after " << preempt_after;
  }
}

TEST_F(ModelExecutorTest, PromptScoresComeWithTheirOwnChunk) {
  UseDecoder(RandomLogitsOf);
  GenerationSpec spec = EverythingAsked();
  DrivenSequence sequence(1, spec, Encode("the voices sing by turns"));
  std::vector<size_t> counts;
  for (int step = 0; step < 2; ++step) {
    StepPlan plan;
    sequence.PlanRow(3, plan);
    StepResult result;
    ASSERT_TRUE(executor_->Execute(plan, result).ok());
    counts.push_back(result.outcomes[0].prompt_scores.size());
    sequence.Commit(result.outcomes[0]);
  }
  EXPECT_THAT(counts, ElementsAre(2, 3));
}

TEST_F(ModelExecutorTest, ASequenceIsTheSameAloneAndAmongOthers) {
  UseDecoder(RandomLogitsOf);
  std::vector<std::unique_ptr<DrivenSequence>> sequences;
  std::vector<DrivenSequence*> pointers;
  std::vector<std::string> alone;
  for (int i = 0; i < 9; ++i) {
    GenerationSpec spec = EverythingAsked();
    spec.sampling.seed = i;
    spec.sampling.temperature = i % 3 == 0 ? 0 : 1.2f;
    spec.stopping.max_new_tokens = 3 + i;
    const std::vector<TokenId> prompt(5 + 7 * i, 30 + i);
    alone.push_back(Printed(Run(spec, prompt, 1000, -1, i % 2)));
    sequences.push_back(std::make_unique<DrivenSequence>(next_id_++, spec, prompt, i % 2));
    pointers.push_back(sequences.back().get());
  }
  RunTogether(*executor_, pointers, 4);
  for (size_t i = 0; i < sequences.size(); ++i) {
    EXPECT_EQ(Printed(sequences[i]->answer), alone[i]) << "sequence " << i;
  }
  EXPECT_LE(decoder_->largest_logits_call(), 128);
}

TEST_F(ModelExecutorTest, ChoicesOfASeedDiffer) {
  UseDecoder(RandomLogitsOf);
  const std::vector<TokenId> prompt = Encode("voices");
  EXPECT_NE(Run(EverythingAsked(), prompt).tokens,
            Run(EverythingAsked(), prompt, 1000, -1, /*choice_index=*/1).tokens);
}

TEST_F(ModelExecutorTest, ANanFailsItsOwnSequenceOnly) {
  const TokenId marked = 77;
  UseDecoder([&](std::span<const TokenId> tokens, std::span<float> logits) {
    RandomLogitsOf(tokens, logits);
    if (tokens[0] == marked) logits[5] = std::numeric_limits<float>::quiet_NaN();
  });
  GenerationSpec spec = EverythingAsked();
  spec.output.prompt_logprobs = false;
  const std::vector<TokenId> prompt(6, 40);
  const std::string expected = Printed(Run(spec, prompt));
  DrivenSequence good(10, spec, prompt);
  DrivenSequence bad(11, spec, std::vector<TokenId>(6, marked));
  std::vector<DrivenSequence*> both = {&bad, &good};
  RunTogether(*executor_, both, 100);
  EXPECT_EQ(Printed(good.answer), expected);
  EXPECT_EQ(bad.answer.status.code(), absl::StatusCode::kInternal);
  EXPECT_THAT(std::string(bad.answer.status.message()),
              HasSubstr("sequence 11: the logits for position 6 hold a NaN"));
  EXPECT_THAT(bad.answer.tokens, IsEmpty());
}

TEST_F(ModelExecutorTest, AFailedStepLeavesTheExecutorFit) {
  UseDecoder(RandomLogitsOf);
  decoder_->FailNextForward(absl::InternalError("out of luck"));
  EXPECT_EQ(Run(EverythingAsked(), Encode("voices")).status, absl::InternalError("out of luck"));
  EXPECT_TRUE(Run(EverythingAsked(), Encode("voices")).status.ok());
}

TEST_F(ModelExecutorTest, RowsThatCannotBeMeantFailAlone) {
  UseDecoder(RandomLogitsOf);
  StepPlan plan;
  plan.rows = {{.sequence = 99, .token_begin = 0, .token_count = 1, .block_count = 1}};
  plan.tokens = {4};
  plan.blocks = {0};
  StepResult result;
  ASSERT_TRUE(executor_->Execute(plan, result).ok());
  EXPECT_THAT(std::string(result.outcomes[0].status.message()), HasSubstr("sequence 99"));

  DrivenSequence empty(5, {}, {});
  StepPlan start;
  empty.PlanRow(1, start);
  ASSERT_TRUE(executor_->Execute(start, result).ok());
  EXPECT_FALSE(result.outcomes[0].status.ok());
}

TEST_F(ModelExecutorTest, EndedSequencesAreForgotten) {
  UseDecoder(RandomLogitsOf);
  DrivenSequence sequence(3, EverythingAsked(), Encode("voices"));
  StepPlan plan;
  sequence.PlanRow(100, plan);
  StepResult result;
  ASSERT_TRUE(executor_->Execute(plan, result).ok());
  sequence.Commit(result.outcomes[0]);
  StepPlan after;
  sequence.PlanRow(100, after);
  after.ends = {3};
  ASSERT_TRUE(executor_->Execute(after, result).ok());
  EXPECT_FALSE(result.outcomes[0].status.ok());
}

TEST_F(ModelExecutorTest, EmbeddingsArePooledAsAsked) {
  UseDecoder(RandomLogitsOf);
  GenerationSpec spec;
  spec.stopping.max_new_tokens = 0;
  spec.output.normalize_embedding = false;
  const std::vector<TokenId> prompt = Encode("the voices sing by turns");
  spec.output.embedding = EmbeddingPooling::kLastToken;
  std::vector<double> sum(8);
  for (size_t count = 1; count <= prompt.size(); ++count) {
    const std::vector<float> last =
        Run(spec, {prompt.begin(), prompt.begin() + count}, 4).embedding;
    ASSERT_EQ(last.size(), 8u);
    for (size_t i = 0; i < last.size(); ++i) sum[i] += last[i];
  }

  spec.output.embedding = EmbeddingPooling::kMean;
  const std::vector<float> mean = Run(spec, prompt).embedding;
  for (size_t i = 0; i < mean.size(); ++i) {
    EXPECT_FLOAT_EQ(mean[i], static_cast<float>(sum[i] / static_cast<double>(prompt.size())));
  }

  spec.output.normalize_embedding = true;
  double squares = 0;
  for (float value : Run(spec, prompt).embedding) squares += value * value;
  EXPECT_NEAR(squares, 1, 1e-6);
}

TEST_F(ModelExecutorTest, APreemptionDoesNotCountPositionsTwiceInAnEmbedding) {
  UseDecoder(RandomLogitsOf);
  GenerationSpec spec;
  spec.stopping.max_new_tokens = 0;
  const std::vector<TokenId> prompt = Encode("the voices sing by turns, one after another");
  for (const EmbeddingPooling pooling : {EmbeddingPooling::kMean, EmbeddingPooling::kLastToken}) {
    spec.output.embedding = pooling;
    const std::vector<float> whole = Run(spec, prompt).embedding;
    ASSERT_EQ(whole.size(), 8u);
    for (const int32_t preempt_after : {1, 2}) {
      EXPECT_EQ(Run(spec, prompt, 3, preempt_after).embedding, whole);
    }
  }
}

TEST_F(ModelExecutorTest, AStopStringOnTheLastAllowedTokenIsTheReason) {
  GenerationSpec spec;
  const std::vector<TokenId> script = Encode(" sing by turns");
  spec.stopping.max_new_tokens = static_cast<int32_t>(script.size());
  spec.stopping.stop_strings = {"turns"};
  const Answer answer = Say(spec, script);
  ASSERT_TRUE(answer.finish.has_value());
  EXPECT_EQ(answer.finish->reason, FinishReason::kStopString);
  EXPECT_EQ(answer.finish->stop_string, "turns");
  EXPECT_EQ(answer.tokens.size(), script.size());
  EXPECT_EQ(answer.Text(), " sing by ");
}

TEST_F(ModelExecutorTest, AnAnswerWhoseEveryTokenIsMaskedFailsAlone) {
  GenerationSpec spec;
  spec.stopping.min_new_tokens = 1;
  for (TokenId token = 0; token < tokenizer_->vocabulary_size(); ++token) {
    spec.stopping.stop_tokens.push_back(token);
  }
  const Answer answer = Say(spec, Encode(" sing"));
  EXPECT_EQ(answer.status.code(), absl::StatusCode::kInternal);
  EXPECT_THAT(std::string(answer.status.message()), HasSubstr("no token that could be drawn"));
  EXPECT_THAT(answer.tokens, IsEmpty());

  spec.stopping.stop_tokens.clear();
  EXPECT_TRUE(Say(spec, Encode(" sing")).status.ok());
}

}  // namespace
}  // namespace hocket
