// How answers end, beyond stop tokens, stop strings and length: sentences, repetition, time, and
// grammars; and that a grammar is kept to whatever the model would rather say.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <nlohmann/json.hpp>

#include "runtime/model_executor.h"
#include "runtime/text/grammar.h"
#include "tests/runtime/executor_driver.h"
#include "tests/runtime/fake_decoder.h"

namespace hocket {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;

constexpr TokenId kEos = 1;  // "<|endoftext|>" of the fixture's tokenizer.

class AnswerEndTest : public testing::Test {
 protected:
  void SetUp() override {
    auto loaded =
        Tokenizer::Load(std::string(HOCKET_SOURCE_DIR) + "/tests/runtime/text/fixtures/byte_level");
    ASSERT_TRUE(loaded.ok()) << loaded.status();
    tokenizer_ = *std::move(loaded);
  }
  std::vector<TokenId> Letters(std::string_view text) {
    std::vector<TokenId> tokens;
    for (const char c : text) tokens.push_back(Encode(std::string(1, c)).back());
    return tokens;
  }
  std::vector<TokenId> Encode(const std::string& text) {
    return tokenizer_->Encode(text, /*add_special_tokens=*/false).value();
  }
  void UseDecoder(FakeDecoder::LogitsOf logits_of) {
    decoder_ = std::make_unique<FakeDecoder>(tokenizer_->vocabulary_size(), std::move(logits_of));
    executor_ = std::make_unique<ModelExecutor>(decoder_.get(), tokenizer_.get(), decoder_->info());
  }
  Answer Run(const GenerationSpec& spec, int32_t preempt_after = -1) {
    DrivenSequence sequence(next_id_++, spec, Encode("voices"), 0);
    return RunAlone(*executor_, sequence, 1000, preempt_after);
  }
  Answer Say(GenerationSpec spec, std::vector<TokenId> script) {
    UseDecoder(Script(Encode("voices").size(), std::move(script)));
    spec.sampling.temperature = 0;
    return Run(spec);
  }
  std::shared_ptr<const Grammar> Compile(GrammarKind kind, std::string_view text) {
    const std::vector<TokenId> ends = {kEos};
    auto vocabulary =
        GrammarVocabulary::Make(*tokenizer_, ends, tokenizer_->vocabulary_size()).value();
    return vocabulary->Compile(kind, text).value();
  }

  std::unique_ptr<Tokenizer> tokenizer_;
  std::unique_ptr<FakeDecoder> decoder_;
  std::unique_ptr<ModelExecutor> executor_;
  SequenceId next_id_ = 1;
};

TEST_F(AnswerEndTest, ASentencesEndEndsTheTextThereAndNotSooner) {
  GenerationSpec spec;
  spec.stopping.stop_at_sentence_end = true;
  const Answer answer = Say(spec, Letters("pi is 3.14, e.g. here. And so on."));
  EXPECT_EQ(answer.Text(), "pi is 3.14, e.g. here.");
  EXPECT_EQ(answer.finish->reason, FinishReason::kSentence);

  spec.stopping.min_new_tokens = 25;
  EXPECT_EQ(Say(spec, Letters("pi is 3.14, e.g. here. And so on. No")).Text(),
            "pi is 3.14, e.g. here. And so on.");
}

TEST_F(AnswerEndTest, AStopStringBeforeTheSentencesEndComesFirst) {
  GenerationSpec spec;
  spec.stopping.stop_at_sentence_end = true;
  spec.stopping.stop_strings = {"re."};
  const Answer answer = Say(spec, Letters("he is here. And"));
  EXPECT_EQ(answer.Text(), "he is he");
  EXPECT_EQ(answer.finish->reason, FinishReason::kStopString);

  spec.stopping.stop_strings = {"re. A"};
  const Answer sentence = Say(spec, Letters("he is here. And"));
  EXPECT_EQ(sentence.Text(), "he is here.");
  EXPECT_EQ(sentence.finish->reason, FinishReason::kSentence);
}

TEST_F(AnswerEndTest, RepetitionEndsTheAnswerWhereAsked) {
  GenerationSpec spec;
  spec.stopping.repetition = RepetitionSettings{.max_pattern_tokens = 4, .min_repeats = 3};
  const Answer answer = Say(spec, Letters("so abcabcabcabcabc"));
  EXPECT_EQ(answer.Text(), "so abcabcabc");
  EXPECT_EQ(answer.finish->reason, FinishReason::kRepetition);
}

TEST_F(AnswerEndTest, ATimeLimitKeepsWhatThereIs) {
  GenerationSpec spec;
  spec.stopping.time_limit = absl::Nanoseconds(1);
  const Answer answer = Say(spec, Letters("abc"));
  EXPECT_EQ(answer.Text(), "a");
  EXPECT_EQ(answer.finish->reason, FinishReason::kTimeLimit);
  spec.stopping.time_limit = absl::Hours(1);
  spec.stopping.max_new_tokens = 3;
  EXPECT_EQ(Say(spec, Letters("abc")).finish->reason, FinishReason::kLength);
}

TEST_F(AnswerEndTest, ACompleteTextEndsByItsConstraint) {
  GenerationSpec spec;
  spec.grammar = Compile(GrammarKind::kChoices, R"(["yes", "no"])");
  UseDecoder(RandomLogitsOf);
  const Answer answer = Run(spec);
  EXPECT_THAT(answer.Text(), testing::AnyOf("yes", "no"));
  EXPECT_EQ(answer.finish->reason, FinishReason::kConstraint);
}

TEST_F(AnswerEndTest, WhereATextMayGoOnTheModelDecidesWhetherItEnds) {
  GenerationSpec spec;
  spec.grammar = Compile(GrammarKind::kRegex, "a+");
  const Answer ended = Say(spec, {Letters("a")[0], Letters("a")[0], kEos});
  EXPECT_EQ(ended.Text(), "aa");
  EXPECT_EQ(ended.finish->reason, FinishReason::kStopToken);
  spec.stopping.ignore_eos = true;
  EXPECT_EQ(Say(spec, {Letters("a")[0], kEos, kEos}).finish->reason, FinishReason::kConstraint);
}

TEST_F(AnswerEndTest, JsonIsValidAtAnyTemperatureWithAnyOtherSetting) {
  GenerationSpec spec;
  spec.grammar =
      Compile(GrammarKind::kJsonSchema,
              R"({"type": "object", "properties": {"n": {"type": "integer", "maximum": 999},
                             "s": {"type": "string", "maxLength": 9}},
                             "required": ["n", "s"], "additionalProperties": false})");
  spec.sampling.repetition_penalty = 1.3f;
  spec.sampling.min_p = 0.01f;
  spec.stopping.max_new_tokens = 400;
  UseDecoder(RandomLogitsOf);
  for (const float temperature : {0.0f, 0.7f, 1.5f, 100.0f, 1e30f}) {
    for (uint64_t seed = 0; seed < 4; ++seed) {
      spec.sampling.temperature = temperature;
      spec.sampling.seed = seed;
      const Answer answer = Run(spec);
      const auto json = nlohmann::json::parse(answer.Text(), nullptr, /*allow_exceptions=*/false);
      EXPECT_TRUE(json.is_object() && json["n"].is_number_integer() && json["s"].is_string())
          << answer.Text() << " at temperature " << temperature << ", seed " << seed;
      EXPECT_EQ(Run(spec, /*preempt_after=*/3).tokens, answer.tokens);
    }
  }
}

TEST_F(AnswerEndTest, WhatTheGrammarAndABanLeaveNothingOfFailsThatSequence) {
  GenerationSpec spec;
  spec.grammar = Compile(GrammarKind::kRegex, "q");
  spec.sampling.banned_tokens = Letters("q");
  UseDecoder(RandomLogitsOf);
  const Answer answer = Run(spec);
  EXPECT_THAT(std::string(answer.status.message()), HasSubstr("leave no token"));
}

TEST_F(AnswerEndTest, TheTotalLogprobIsTheSumOfTheTokensScores) {
  UseDecoder(RandomLogitsOf);
  GenerationSpec spec;
  spec.sampling.top_k = 20;
  spec.stopping.max_new_tokens = 30;
  spec.stopping.ignore_eos = true;
  EXPECT_FALSE(Run(spec).finish->total_logprob.has_value());
  for (const bool after : {false, true}) {
    spec.output.scored_after_filtering = after;
    spec.output.total_logprob = true;
    spec.output.logprobs = true;
    spec.output.top_logprobs = 2;
    const Answer scored = Run(spec);
    double sum = 0;
    for (const TokenScore& score : scored.scores) sum += score.logprob;
    EXPECT_EQ(scored.finish->total_logprob, sum);
    EXPECT_LT(sum, -10);

    // The same where the scores themselves are not wanted.
    spec.output.logprobs = false;
    const Answer answer = Run(spec);
    EXPECT_EQ(answer.tokens, scored.tokens);
    EXPECT_EQ(answer.finish->total_logprob, sum);
    EXPECT_TRUE(answer.scores.empty());
  }
}

TEST_F(AnswerEndTest, TheTokenThatStopsCountsToTheTotalLogprob) {
  GenerationSpec spec;
  spec.output.total_logprob = true;
  spec.output.logprobs = true;
  UseDecoder([](std::span<const TokenId>, std::span<float> logits) { logits[kEos] = 3; });
  const Answer answer = Run(spec);
  ASSERT_EQ(answer.finish->reason, FinishReason::kStopToken);
  ASSERT_EQ(answer.scores.size(), answer.tokens.size());
  double sum = 0;
  for (const TokenScore& score : answer.scores) sum += score.logprob;
  EXPECT_EQ(answer.finish->total_logprob, sum);
}

}  // namespace
}  // namespace hocket
