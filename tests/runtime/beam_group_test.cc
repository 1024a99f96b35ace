// Beam search in the executor: what its sequences' states, forked with the beams, make of grammar,
// stop strings and penalties, against a reference that works everything out anew from the tokens.
#include "runtime/beam_group.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <limits>
#include <regex>

#include "runtime/model_executor.h"
#include "runtime/text/grammar.h"
#include "tests/runtime/beam_driver.h"
#include "tests/runtime/fake_decoder.h"
#include "tests/runtime/reference_beams.h"

namespace hocket {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;
using testing::UnorderedElementsAre;

using EarlyStopping = BeamSettings::EarlyStopping;
using Tokens = std::vector<TokenId>;

constexpr TokenId kEos = 1;  // "<|endoftext|>" of the fixture's tokenizer.
constexpr float kInfinity = std::numeric_limits<float>::infinity();

std::vector<float> LogSoftmax(std::vector<float> logits) {
  const double max = *std::max_element(logits.begin(), logits.end());
  double sum = 0;
  for (const float logit : logits) sum += std::exp(logit - max);
  for (float& logit : logits) logit = static_cast<float>(logit - max - std::log(sum));
  return logits;
}

GenerationSpec Beams(int32_t width, int32_t max_new_tokens) {
  GenerationSpec spec;
  spec.beam = BeamSettings{.width = width, .returned = width};
  spec.stopping.max_new_tokens = max_new_tokens;
  return spec;
}

class BeamGroupTest : public testing::Test {
 protected:
  void SetUp() override {
    auto loaded =
        Tokenizer::Load(std::string(HOCKET_SOURCE_DIR) + "/tests/runtime/text/fixtures/byte_level");
    ASSERT_TRUE(loaded.ok()) << loaded.status();
    tokenizer_ = *std::move(loaded);
    prompt_ = Encode("voices sing");
    UseDecoder(RandomLogitsOf);
  }
  Tokens Encode(const std::string& text) {
    return tokenizer_->Encode(text, /*add_special_tokens=*/false).value();
  }
  TokenId Letter(char letter) { return Encode(std::string(1, letter)).back(); }
  std::string Decode(const Tokens& tokens) {
    return tokenizer_->Decode(tokens, /*skip_special_tokens=*/true).value();
  }
  void UseDecoder(FakeDecoder::LogitsOf logits_of) {
    logits_of_ = logits_of;
    decoder_ = std::make_unique<FakeDecoder>(tokenizer_->vocabulary_size(), std::move(logits_of));
    executor_ = std::make_unique<ModelExecutor>(decoder_.get(), tokenizer_.get(), decoder_->info());
  }
  std::vector<Answer> Run(const GenerationSpec& spec, int32_t chunk = 1000,
                          int32_t preempt_after = -1) {
    DrivenBeams beams(next_group_++, spec, prompt_, {.chunk = chunk});
    return RunBeams(*executor_, beams, preempt_after);
  }
  std::vector<float> LogitsAfter(const Tokens& generated) {
    Tokens tokens = prompt_;
    tokens.insert(tokens.end(), generated.begin(), generated.end());
    std::vector<float> logits(tokenizer_->vocabulary_size());
    logits_of_(tokens, logits);
    return logits;
  }
  // Ends by end of text and length, with the model's own probabilities.
  BeamTask TaskOf(const GenerationSpec& spec) {
    BeamTask task;
    task.settings = *spec.beam;
    task.max_new_tokens = spec.stopping.max_new_tokens;
    task.stop_tokens = spec.stopping.ignore_eos ? 0 : 1;
    task.next = [this](const Tokens& tokens) { return LogSoftmax(LogitsAfter(tokens)); };
    task.ends = [=](const Tokens& tokens) {
      return (tokens.back() == kEos && !spec.stopping.ignore_eos) ||
             tokens.size() >= static_cast<size_t>(spec.stopping.max_new_tokens);
    };
    return task;
  }
  void ExpectFound(const std::vector<Answer>& answers, const BeamTask& task) {
    const std::vector<BeamLine> expected = FindBeams(task).finished;
    ASSERT_LE(expected.size(), answers.size());
    for (size_t i = 0; i < expected.size(); ++i) {
      ASSERT_TRUE(answers[i].status.ok()) << answers[i].status;
      ASSERT_EQ(answers[i].tokens, expected[i].tokens) << "candidate " << i;
      ASSERT_TRUE(answers[i].finish.has_value());
      EXPECT_NEAR(answers[i].finish->total_logprob.value(), expected[i].logprob, 1e-4);
      EXPECT_NEAR(answers[i].finish->score.value(), expected[i].score, 1e-4);
    }
  }
  std::shared_ptr<const Grammar> Compile(GrammarKind kind, std::string_view text) {
    const Tokens ends = {kEos};
    auto vocabulary =
        GrammarVocabulary::Make(*tokenizer_, ends, tokenizer_->vocabulary_size()).value();
    return vocabulary->Compile(kind, text).value();
  }

  std::unique_ptr<Tokenizer> tokenizer_;
  Tokens prompt_;
  FakeDecoder::LogitsOf logits_of_;
  std::unique_ptr<FakeDecoder> decoder_;
  std::unique_ptr<ModelExecutor> executor_;
  SequenceId next_group_ = 1;
};

// End of text, and a few others, are likely now and then.
void OftenEnds(std::span<const TokenId> tokens, std::span<float> logits) {
  RandomLogitsOf(tokens, logits);
  logits[kEos] += 5;
}

TEST_F(BeamGroupTest, FindsWhatTheReferenceFinds) {
  UseDecoder(OftenEnds);
  for (const int32_t width : {2, 3, 5, 8, 64}) {
    for (const EarlyStopping stopping :
         {EarlyStopping::kNever, EarlyStopping::kHeuristic, EarlyStopping::kAlways}) {
      GenerationSpec spec = Beams(width, 9);
      spec.beam->early_stopping = stopping;
      spec.beam->length_penalty = 0.25f * static_cast<float>(width % 9);
      SCOPED_TRACE(testing::Message() << "width " << width);
      ExpectFound(Run(spec), TaskOf(spec));
    }
  }
}

TEST_F(BeamGroupTest, TheLastStepTellsTheBestCandidatesWholeAndNoOthers) {
  UseDecoder(OftenEnds);
  GenerationSpec spec = Beams(5, 9);
  const std::vector<Answer> all = Run(spec);
  spec.beam->returned = 2;
  const std::vector<Answer> told = Run(spec);
  for (size_t i = 0; i < told.size(); ++i) {
    ASSERT_TRUE(told[i].finish.has_value());
    EXPECT_EQ(told[i].tokens.empty(), i >= 2);
    EXPECT_EQ(told[i].finish->score.has_value(), i < 2);
    if (i >= 2) continue;
    EXPECT_EQ(Printed(told[i]), Printed(all[i]));
    EXPECT_EQ(told[i].Text(), Decode(told[i].tokens));
    const bool ended = told[i].tokens.back() == kEos;
    EXPECT_EQ(told[i].finish->reason, ended ? FinishReason::kStopToken : FinishReason::kLength);
    EXPECT_EQ(told[i].finish->stop_token.has_value(), ended);
  }
}

TEST_F(BeamGroupTest, TheSameBitsInChunksAfterAPreemptionAndBesideOthers) {
  UseDecoder(OftenEnds);
  GenerationSpec spec = Beams(4, 14);
  spec.sampling.repetition_penalty = 1.2f;
  spec.stopping.stop_strings = {"qu", "zz"};
  spec.output.logprobs = true;
  spec.output.top_logprobs = 3;
  spec.output.prompt_logprobs = true;
  const std::string alone = Printed(Run(spec));
  EXPECT_EQ(Printed(Run(spec, 2)), alone);
  for (const int32_t preempt_after : {1, 4, 9}) {
    EXPECT_EQ(Printed(Run(spec, 5, preempt_after)), alone) << preempt_after;
  }
  DrivenBeams one(next_group_++, spec, prompt_, {.chunk = 3});
  GenerationSpec greedy;
  greedy.sampling.temperature = 0;
  greedy.stopping.max_new_tokens = 60;
  greedy.stopping.ignore_eos = true;
  GenerationSpec other = Beams(3, 60);
  other.stopping.ignore_eos = true;
  DrivenSequence sequence(7, greedy, Encode("others"));
  DrivenBeams two(next_group_++, other, Encode("in turn"));
  while (!one.done()) {
    StepPlan plan;
    two.PlanRows(plan);
    const size_t place = plan.rows.size();
    sequence.PlanRow(100, plan);
    one.PlanRows(plan);
    StepResult result;
    ASSERT_TRUE(executor_->Execute(plan, result).ok());
    two.Commit(result.outcomes);
    sequence.Commit(result.outcomes[place]);
    one.Commit(result.outcomes);
    ASSERT_FALSE(two.done() || sequence.done()) << "they were to be there all the time";
  }
  EXPECT_EQ(Printed(one.answers), alone);
}

TEST_F(BeamGroupTest, PenaltiesBansAndBiasFollowEachBeamsOwnTokens) {
  GenerationSpec spec = Beams(6, 12);
  spec.stopping.ignore_eos = true;
  spec.sampling.repetition_penalty = 1.5f;
  spec.sampling.presence_penalty = 0.4f;
  spec.sampling.frequency_penalty = 0.7f;
  spec.sampling.banned_tokens = {Letter('e')};
  spec.sampling.logit_bias = {{Letter('x'), 4}};
  spec.sampling.bad_word_tokens = {{Letter('x'), Letter('x')}};
  spec.sampling.temperature = 0.3f;  // Does not act, nor do filters.
  spec.sampling.top_k = 1;
  // Few tokens are likely, so that they come again and again.
  UseDecoder([](std::span<const TokenId> tokens, std::span<float> logits) {
    RandomLogitsOf(tokens, logits);
    for (size_t i = 40; i < logits.size(); ++i) logits[i] -= 4;
  });
  BeamTask task = TaskOf(spec);
  task.next = [&](const Tokens& tokens) {
    std::vector<float> logits = LogitsAfter(tokens);
    logits[Letter('x')] += 4;
    logits[Letter('e')] = -kInfinity;
    if (!tokens.empty() && tokens.back() == Letter('x')) logits[Letter('x')] = -kInfinity;
    for (size_t i = 0; i < logits.size(); ++i) {
      const auto token = static_cast<TokenId>(i);
      const auto generated = std::count(tokens.begin(), tokens.end(), token);
      if (generated + std::count(prompt_.begin(), prompt_.end(), token) > 0) {
        logits[i] = logits[i] > 0 ? logits[i] / 1.5f : logits[i] * 1.5f;
      }
      if (generated > 0) logits[i] -= 0.4f + 0.7f * static_cast<float>(generated);
    }
    return LogSoftmax(logits);
  };
  ExpectFound(Run(spec), task);
}

TEST_F(BeamGroupTest, StopStringsEndEachBeamsOwnText) {
  GenerationSpec spec = Beams(6, 16);
  spec.stopping.stop_strings = {"e", "an", " s", "t t"};
  BeamTask task = TaskOf(spec);
  const auto stopped = [&](const Tokens& tokens) {
    const std::string text = Decode(tokens);
    return std::any_of(spec.stopping.stop_strings.begin(), spec.stopping.stop_strings.end(),
                       [&](const std::string& stop) { return text.find(stop) != text.npos; });
  };
  task.ends = [&, ends = task.ends](const Tokens& tokens) {
    return ends(tokens) || stopped(tokens);
  };
  const std::vector<Answer> answers = Run(spec);
  ExpectFound(answers, task);
  int by_string = 0;
  for (const Answer& answer : answers) {
    const bool stops = answer.finish->reason == FinishReason::kStopString;
    by_string += stops;
    EXPECT_EQ(stopped(answer.tokens), stops);
    for (const std::string& stop : spec.stopping.stop_strings) {
      EXPECT_THAT(answer.Text(), testing::Not(HasSubstr(stop)));
    }
  }
  EXPECT_GT(by_string, 0);
}

TEST_F(BeamGroupTest, AGrammarFollowsEachBeamsOwnText) {
  GenerationSpec spec = Beams(5, 12);
  spec.grammar = Compile(GrammarKind::kRegex, "[a-d]{2,5}(x[0-9]|yz)");
  BeamTask task = TaskOf(spec);
  task.next = [&](const Tokens& tokens) {
    auto matcher = spec.grammar->NewMatcher().value();
    for (const TokenId token : tokens) EXPECT_TRUE(matcher->Accept(token).ok());
    std::vector<float> logits = LogitsAfter(tokens);
    std::vector<uint32_t> mask((logits.size() + 31) / 32);
    EXPECT_TRUE(matcher->Mask(mask).ok());
    for (size_t i = 0; i < logits.size(); ++i) {
      if ((mask[i / 32] >> (i % 32) & 1) == 0) logits[i] = -kInfinity;
    }
    return LogSoftmax(logits);
  };
  task.ends = [&, ends = task.ends](const Tokens& tokens) {
    auto matcher = spec.grammar->NewMatcher().value();
    bool complete = false;
    for (const TokenId token : tokens) complete = matcher->Accept(token).value();
    return complete || ends(tokens);
  };
  const std::vector<Answer> answers = Run(spec, 3, 2);
  ExpectFound(answers, task);
  for (const Answer& answer : answers) {
    EXPECT_TRUE(std::regex_match(answer.Text(), std::regex("[a-d]{2,5}(x[0-9]|yz)")))
        << answer.Text();
    EXPECT_EQ(answer.finish->reason, FinishReason::kConstraint);
  }
}

TEST_F(BeamGroupTest, FewerTextsThanBeamsAreToldAsFewer) {
  GenerationSpec spec = Beams(4, 20);
  spec.grammar = Compile(GrammarKind::kChoices, R"(["q", "z"])");
  const std::vector<Answer> answers = Run(spec);
  ASSERT_EQ(answers.size(), 4u);
  EXPECT_THAT((std::vector{answers[0].Text(), answers[1].Text()}), UnorderedElementsAre("q", "z"));
  EXPECT_GT(*answers[0].finish->score, *answers[1].finish->score);
  for (int i = 2; i < 4; ++i) {
    EXPECT_TRUE(answers[i].status.ok());
    EXPECT_THAT(answers[i].tokens, IsEmpty());
    EXPECT_FALSE(answers[i].finish->score.has_value());
  }
}

TEST_F(BeamGroupTest, RepetitionAndSentencesEndEachBeamsOwnText) {
  const TokenId a = Letter('a');
  const TokenId b = Letter('b');
  UseDecoder([=](std::span<const TokenId>, std::span<float> logits) {
    logits[a] = 20;
    logits[b] = 18;
  });
  GenerationSpec spec = Beams(2, 12);
  spec.stopping.repetition = RepetitionSettings{.max_pattern_tokens = 1, .min_repeats = 3};
  BeamTask task = TaskOf(spec);
  task.ends = [ends = task.ends](const Tokens& t) {
    const size_t n = t.size();
    return ends(t) || (n >= 3 && t[n - 1] == t[n - 2] && t[n - 2] == t[n - 3]);
  };
  const std::vector<Answer> answers = Run(spec);
  ExpectFound(answers, task);
  EXPECT_THAT(answers[0].tokens, ElementsAre(a, a, a));
  EXPECT_EQ(answers[0].finish->reason, FinishReason::kRepetition);
}

TEST_F(BeamGroupTest, NoTextEndsByATokenBeforeMinNewTokens) {
  UseDecoder(OftenEnds);
  GenerationSpec spec = Beams(4, 9);
  spec.stopping.min_new_tokens = 5;
  BeamTask task = TaskOf(spec);
  task.next = [&](const Tokens& tokens) {
    std::vector<float> logits = LogitsAfter(tokens);
    if (tokens.size() < 5) logits[kEos] = -kInfinity;
    return LogSoftmax(logits);
  };
  ExpectFound(Run(spec), task);
}

TEST_F(BeamGroupTest, TheContextsEndFinishesAllCandidates) {
  UseDecoder(RandomLogitsOf);
  ModelInfo info = decoder_->info();
  info.max_context_tokens = static_cast<int32_t>(prompt_.size()) + 4;
  executor_ = std::make_unique<ModelExecutor>(decoder_.get(), tokenizer_.get(), info);
  GenerationSpec spec = Beams(3, 100);
  spec.beam->early_stopping = EarlyStopping::kNever;
  for (const Answer& answer : Run(spec)) {
    EXPECT_EQ(answer.tokens.size(), 4u);
    EXPECT_EQ(answer.finish->reason, FinishReason::kContext);
  }
}

TEST_F(BeamGroupTest, TokensAreScoredByTheModelOrByWhatTheSearchSummed) {
  GenerationSpec spec = Beams(3, 8);
  spec.sampling.banned_tokens = {Letter('e'), Letter('s')};
  spec.output.logprobs = true;
  spec.output.top_logprobs = 2;
  for (const bool after : {false, true}) {
    spec.output.scored_after_filtering = after;
    for (const Answer& answer : Run(spec)) {
      ASSERT_EQ(answer.scores.size(), answer.tokens.size());
      double sum = 0;
      Tokens before;
      for (const TokenScore& score : answer.scores) {
        const std::vector<float> model = LogSoftmax(LogitsAfter(before));
        if (!after) {
          EXPECT_NEAR(score.logprob, model[score.token], 1e-5);
        }
        EXPECT_EQ(score.top.size(), 2u);
        sum += score.logprob;
        before.push_back(score.token);
      }
      EXPECT_EQ(before, answer.tokens);
      if (after) {
        EXPECT_DOUBLE_EQ(sum, *answer.finish->total_logprob);
      }
    }
  }
}

TEST_F(BeamGroupTest, ANanInOneBeamFailsTheWholeSearchAndNothingElse) {
  const size_t prompt_tokens = prompt_.size();
  UseDecoder([=](std::span<const TokenId> tokens, std::span<float> logits) {
    RandomLogitsOf(tokens, logits);
    if (tokens.size() == prompt_tokens + 2 && tokens.back() % 2 == 0) logits[3] = NAN;
  });
  DrivenBeams beams(next_group_++, Beams(8, 10), prompt_);
  for (const Answer& answer : RunBeams(*executor_, beams)) {
    EXPECT_EQ(answer.status.code(), absl::StatusCode::kInternal);
    EXPECT_THAT(std::string(answer.status.message()), HasSubstr("NaN"));
  }
  UseDecoder(RandomLogitsOf);
  EXPECT_TRUE(Run(Beams(2, 3))[0].status.ok());
}

TEST_F(BeamGroupTest, WhereNoTokenIsPossibleTheSearchFails) {
  GenerationSpec spec = Beams(2, 5);
  spec.sampling.allowed_tokens = {kEos};
  spec.stopping.min_new_tokens = 1;
  for (const Answer& answer : Run(spec)) {
    EXPECT_EQ(answer.status.code(), absl::StatusCode::kInternal);
    EXPECT_THAT(std::string(answer.status.message()), HasSubstr("no token"));
  }
}

TEST_F(BeamGroupTest, RowsThatDoNotStepTogetherAreRefused) {
  DrivenBeams beams(3, Beams(2, 5), prompt_);
  StepPlan plan;
  beams.PlanRows(plan);
  plan.rows.pop_back();
  StepResult result;
  ASSERT_TRUE(executor_->Execute(plan, result).ok());
  EXPECT_EQ(result.outcomes[0].status.code(), absl::StatusCode::kFailedPrecondition);
  EXPECT_THAT(std::string(result.outcomes[0].status.message()), HasSubstr("width 2"));
}

TEST_F(BeamGroupTest, AStepThatFailedAsAWholeLeavesTheSearchAsItWas) {
  const std::string expected = Printed(Run(Beams(3, 6)));
  DrivenBeams beams(next_group_++, Beams(3, 6), prompt_);
  StepPlan plan;
  beams.PlanRows(plan);
  StepResult result;
  decoder_->FailNextForward(absl::ResourceExhaustedError("memory"));
  EXPECT_FALSE(executor_->Execute(plan, result).ok());
  plan.starts.clear();
  ASSERT_TRUE(executor_->Execute(plan, result).ok());
  beams.Commit(result.outcomes);
  EXPECT_EQ(Printed(RunBeams(*executor_, beams)), expected);
}

TEST_F(BeamGroupTest, ASearchCannotBeResumed) {
  DrivenBeams beams(next_group_++, Beams(2, 5), prompt_);
  StepPlan plan;
  beams.PlanRows(plan);
  for (SequenceStart& start : plan.starts) start.resumed = start.prompt;
  StepResult result;
  ASSERT_TRUE(executor_->Execute(plan, result).ok());
  EXPECT_EQ(result.outcomes[0].status.code(), absl::StatusCode::kInvalidArgument);
  EXPECT_THAT(std::string(result.outcomes[0].status.message()), HasSubstr("resume"));
}

}  // namespace
}  // namespace hocket
