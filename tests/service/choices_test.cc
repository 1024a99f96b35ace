// Several choices, beam search, drafts and the rolling context, as requests ask for them.
#include <gmock/gmock.h>
#include <google/protobuf/text_format.h>
#include <gtest/gtest.h>

#include <string>
#include <vector>

#include "service/validate.h"
#include "small_model.h"

namespace hocket {
namespace {

using ::testing::StartsWith;

v1::GenerateRequest Parse(const std::string& text) {
  v1::GenerateRequest request;
  EXPECT_TRUE(google::protobuf::TextFormat::ParseFromString(text, &request)) << text;
  return request;
}

class ChoicesTest : public testing::Test {
 protected:
  absl::StatusOr<ValidRequest> Generate(const std::string& settings) {
    return validator_.Generate(Parse("text: 'x' " + settings));
  }

  std::string Refusal(const std::string& settings) {
    const absl::Status status = Generate(settings).status();
    EXPECT_TRUE(absl::IsInvalidArgument(status)) << settings << "\n" << status;
    return std::string(status.message());
  }

  // What the echo of a request's settings makes of it, sent back.
  absl::StatusOr<ValidRequest> SentBack(const ValidRequest& first) {
    v1::GenerateRequest again;
    again.set_text("x");
    const v1::EffectiveSettings& told = first.effective;
    *again.mutable_sampling() = told.sampling();
    *again.mutable_stopping() = told.stopping();
    *again.mutable_choices() = told.choices();
    *again.mutable_context() = told.context();
    *again.mutable_speculation() = told.speculation();
    *again.mutable_output() = told.output();
    *again.mutable_scheduling() = told.scheduling();
    if (told.has_beam_search()) *again.mutable_beam_search() = told.beam_search();
    again.set_add_special_tokens(told.add_special_tokens());
    return validator_.Generate(again);
  }

  ByteText text_;
  Validator validator_{"small", SmallModelInfo(), &text_, /*max_prompt_bytes=*/8000};
};

TEST_F(ChoicesTest, WhatIsNotSaidIsOneChoiceWithoutDrafts) {
  const absl::StatusOr<ValidRequest> valid = Generate("");
  ASSERT_TRUE(valid.ok()) << valid.status();
  Request request;
  valid->shape.Apply(request);
  EXPECT_EQ(request.choices, 1);
  EXPECT_FALSE(request.beam);
  EXPECT_EQ(request.roll_kept_tokens, std::nullopt);
  EXPECT_EQ(request.max_draft_tokens, 0);
  EXPECT_FALSE(valid->spec->output.total_logprob);
  EXPECT_FALSE(valid->spec->rolls);
  EXPECT_EQ(valid->effective.choices().best_of(), 1);
  EXPECT_FALSE(valid->effective.speculation().prompt_lookup());
  EXPECT_EQ(valid->effective.speculation().max_draft_tokens(), 8);
  EXPECT_TRUE(valid->effective.context().has_kept_tokens());
  EXPECT_FALSE(valid->effective.has_beam_search());
}

TEST_F(ChoicesTest, EverySettingReachesTheEngineAndComesBack) {
  const absl::StatusOr<ValidRequest> valid = Generate(
      "choices { n: 3 best_of: 5 } speculation { prompt_lookup: true max_draft_tokens: 4 }"
      " context { policy: CONTEXT_POLICY_ROLL kept_tokens: 7 }");
  ASSERT_TRUE(valid.ok()) << valid.status();
  Request request;
  valid->shape.Apply(request);
  EXPECT_EQ(request.choices, 5);
  EXPECT_EQ(request.roll_kept_tokens, 7);
  EXPECT_EQ(request.max_draft_tokens, 4);
  EXPECT_EQ(valid->shape.choices, 3);
  EXPECT_TRUE(valid->shape.ranked);
  EXPECT_TRUE(valid->spec->output.total_logprob);
  EXPECT_TRUE(valid->spec->rolls);
  EXPECT_EQ(valid->effective.choices().n(), 3);
  EXPECT_EQ(valid->effective.choices().best_of(), 5);
  EXPECT_EQ(valid->effective.context().policy(), v1::CONTEXT_POLICY_ROLL);
  EXPECT_EQ(valid->effective.context().kept_tokens(), 7);
  EXPECT_TRUE(valid->effective.speculation().prompt_lookup());
  const absl::StatusOr<ValidRequest> again = SentBack(*valid);
  ASSERT_TRUE(again.ok()) << again.status();
  EXPECT_EQ(again->effective.SerializeAsString(), valid->effective.SerializeAsString());
}

TEST_F(ChoicesTest, BeamSearchDrawsNothingWhateverTheModelRecommends) {
  const absl::StatusOr<ValidRequest> valid = Generate("beam_search { width: 4 } choices { n: 2 }");
  ASSERT_TRUE(valid.ok()) << valid.status();
  Request request;
  valid->shape.Apply(request);
  EXPECT_EQ(request.choices, 4);
  EXPECT_TRUE(request.beam);
  EXPECT_FALSE(valid->shape.ranked);
  ASSERT_TRUE(valid->spec->beam);
  EXPECT_EQ(valid->spec->beam->width, 4);
  EXPECT_EQ(valid->spec->beam->returned, 2);
  EXPECT_EQ(valid->spec->beam->length_penalty, 1);
  EXPECT_EQ(valid->spec->sampling.temperature, 0);
  EXPECT_EQ(valid->spec->sampling.top_k, 0);
  EXPECT_EQ(valid->effective.beam_search().early_stopping(),
            v1::BeamSearchSettings::EARLY_STOPPING_HEURISTIC);
  EXPECT_TRUE(Generate("beam_search { width: 4 } sampling { temperature: 0 top_p: 1 }").ok());
  const absl::StatusOr<ValidRequest> again = SentBack(*valid);
  ASSERT_TRUE(again.ok()) << again.status();
  EXPECT_EQ(again->effective.SerializeAsString(), valid->effective.SerializeAsString());
}

TEST_F(ChoicesTest, NumbersOutOfRangeAreNamed) {
  EXPECT_THAT(Refusal("choices { n: 0 }"), StartsWith("choices.n: 0 is out of range [1, 64]"));
  EXPECT_THAT(Refusal("choices { n: 65 }"), StartsWith("choices.n: 65 is out of range [1, 64]"));
  EXPECT_THAT(Refusal("choices { n: 3 best_of: 2 }"),
              StartsWith("choices.best_of: 2 is out of range [3, 64]"));
  EXPECT_THAT(Refusal("choices { best_of: 65 }"),
              StartsWith("choices.best_of: 65 is out of range [1, 64]"));
  EXPECT_THAT(Refusal("beam_search { }"),
              StartsWith("beam_search.width: 0 is out of range [2, 64]"));
  EXPECT_THAT(Refusal("beam_search { width: 65 }"),
              StartsWith("beam_search.width: 65 is out of range [2, 64]"));
  EXPECT_THAT(Refusal("beam_search { width: 2 length_penalty: 11 }"),
              StartsWith("beam_search.length_penalty: 11 is out of range [-10, 10]"));
  EXPECT_THAT(Refusal("beam_search { width: 2 length_penalty: nan }"),
              StartsWith("beam_search.length_penalty: nan is out of range"));
  EXPECT_THAT(Refusal("context { policy: CONTEXT_POLICY_ROLL kept_tokens: 2049 }"),
              StartsWith("context.kept_tokens: 2049 is out of range [0, 2048]"));
  EXPECT_THAT(Refusal("speculation { max_draft_tokens: 0 }"),
              StartsWith("speculation.max_draft_tokens: 0 is out of range [1, 32]"));
  EXPECT_THAT(Refusal("speculation { max_draft_tokens: 33 }"),
              StartsWith("speculation.max_draft_tokens: 33 is out of range [1, 32]"));
  v1::GenerateRequest request = Parse("text: 'x' beam_search { width: 2 }");
  request.mutable_beam_search()->set_early_stopping(
      static_cast<v1::BeamSearchSettings::EarlyStopping>(9));
  EXPECT_THAT(std::string(validator_.Generate(request).status().message()),
              StartsWith("beam_search.early_stopping: 9 is not a known EarlyStopping"));
}

TEST_F(ChoicesTest, ContradictionsAreNamed) {
  EXPECT_THAT(Refusal("beam_search { width: 2 } choices { n: 3 }"),
              StartsWith("choices.n: 3 is out of range [1, 2], of beam_search.width"));
  EXPECT_THAT(Refusal("beam_search { width: 4 } choices { best_of: 3 }"),
              StartsWith("choices.best_of: 3 with beam_search"));
  EXPECT_THAT(
      Refusal("beam_search { width: 4 } sampling { temperature: 0.5 }"),
      StartsWith("sampling.temperature: 0.5 with beam_search, which draws nothing; only 0"));
  EXPECT_THAT(Refusal("beam_search { width: 4 } sampling { top_k: 40 }"),
              StartsWith("sampling.top_k: 40 with beam_search, which draws nothing; only 0"));
  EXPECT_THAT(Refusal("beam_search { width: 4 } sampling { top_p: 0.5 }"),
              StartsWith("sampling.top_p: 0.5 with beam_search, which draws nothing; only 1"));
  EXPECT_THAT(Refusal("beam_search { width: 4 } sampling { xtc { } }"),
              StartsWith("sampling.xtc: is set with beam_search"));
  EXPECT_THAT(
      Refusal("beam_search { width: 4 } sampling { seed: 1 } resume { generated_tokens: [97] }"),
      StartsWith("resume.generated_tokens: 1 tokens with beam_search"));
  EXPECT_THAT(Refusal("beam_search { width: 4 } speculation { prompt_lookup: true }"),
              StartsWith("speculation.prompt_lookup: true with beam_search"));
  EXPECT_THAT(Refusal("beam_search { width: 4 } context { policy: CONTEXT_POLICY_ROLL }"),
              StartsWith("context.policy: CONTEXT_POLICY_ROLL with beam_search"));
  EXPECT_THAT(Refusal("choices { n: 2 } sampling { seed: 1 } resume { generated_tokens: 97 }"),
              StartsWith("choices.n: 2 is out of range [1, 1] with resume"));
  EXPECT_THAT(
      Refusal("choices { best_of: 2 } sampling { seed: 1 } resume { generated_tokens: 97 }"),
      StartsWith("choices.best_of: 2 is out of range [1, 1] with resume"));
  EXPECT_THAT(Refusal("choices { n: 2 } sampling { temperature: 0 }"),
              StartsWith("choices.n: 2 is out of range [1, 1] at sampling.temperature 0"));
  EXPECT_THAT(Refusal("choices { best_of: 2 } sampling { temperature: 0 }"),
              StartsWith("choices.best_of: 2 is out of range [1, 1] at sampling.temperature 0"));
  EXPECT_THAT(Refusal("context { kept_tokens: 5 }"),
              StartsWith("context.kept_tokens: 5 is out of range [0, 0] without"));
}

TEST_F(ChoicesTest, ARollingContextHoldsNoAnswerShort) {
  const std::string roll = " context { policy: CONTEXT_POLICY_ROLL }";
  EXPECT_EQ(Generate("stopping { max_new_tokens: 9000 }" + roll)->max_new_tokens, 9000);
  EXPECT_EQ(Generate("stopping { max_new_tokens: 1000000 }" + roll)->max_new_tokens, 1000000);
  EXPECT_THAT(Refusal("stopping { max_new_tokens: 1000001 }" + roll),
              StartsWith("stopping.max_new_tokens: 1000001 is out of range [0, 1000000]"));
  const std::string long_prompt = "text: '" + std::string(4094, 'x') + "'" + roll;
  const absl::StatusOr<ValidRequest> valid = validator_.Generate(Parse(long_prompt));
  ASSERT_TRUE(valid.ok()) << valid.status();
  EXPECT_EQ(valid->max_new_tokens, Validator::kDefaultMaxNewTokens);
  EXPECT_THAT(
      std::string(validator_.Generate(Parse("text: '" + std::string(4096, 'x') + "'" + roll))
                      .status()
                      .message()),
      StartsWith("input: 4097 prompt tokens"));
  EXPECT_TRUE(Generate("output { prompt_logprobs: true }" + roll).ok());
}

TEST_F(ChoicesTest, TheServersSpeculationHoldsWhereARequestDoesNotSay) {
  const Validator speculating("small", SmallModelInfo(), &text_, 8000, /*prompt_lookup=*/true);
  const auto drafts = [&](const std::string& settings) {
    return speculating.Generate(Parse("text: 'x' " + settings))->shape.max_draft_tokens;
  };
  EXPECT_EQ(drafts(""), 8);
  EXPECT_EQ(drafts("speculation { max_draft_tokens: 3 }"), 3);
  EXPECT_EQ(drafts("speculation { prompt_lookup: false }"), 0);
  EXPECT_EQ(drafts("beam_search { width: 2 }"), 0);
  EXPECT_FALSE(speculating.Generate(Parse("text: 'x' beam_search { width: 2 }"))
                   ->effective.speculation()
                   .prompt_lookup());
}

TEST_F(ChoicesTest, WhereNothingIsGeneratedOneSequenceIsEnough) {
  for (const char* search :
       {"choices { n: 3 best_of: 4 }", "choices { n: 3 } beam_search { width: 4 }"}) {
    const absl::StatusOr<ValidRequest> valid =
        Generate(std::string(search) + " stopping { max_new_tokens: 0 }");
    ASSERT_TRUE(valid.ok()) << valid.status();
    EXPECT_EQ(valid->shape.sequences, 1);
    EXPECT_EQ(valid->shape.choices, 3);
    EXPECT_FALSE(valid->shape.ranked || valid->shape.beam || valid->spec->beam);
  }
}

}  // namespace
}  // namespace hocket
