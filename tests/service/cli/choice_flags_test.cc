#include "service/cli/choice_flags.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <string>
#include <vector>

#include "CLI/CLI.hpp"
#include "service/cli/choices_text.h"
#include "service/cli/result_json.h"
#include "service/cli/sampling_flags.h"
#include "small_model.h"

namespace hocket {
namespace {

using ::testing::HasSubstr;
using ::testing::StartsWith;

struct Parsed {
  SamplingFlags sampling;
  ChoiceFlags choices;
};

Parsed Parse(std::vector<std::string> words) {
  Parsed flags;
  CLI::App app;
  flags.sampling.AddSampling(app);
  flags.sampling.AddStopping(app);
  flags.choices.Add(app);
  std::reverse(words.begin(), words.end());
  app.parse(words);
  return flags;
}

struct Applied {
  absl::StatusOr<RequestShape> shape;
  GenerationSpec spec;
  int32_t max_new_tokens = 0;
};

Applied Apply(const std::vector<std::string>& words, int64_t prompt_tokens = 5) {
  const Parsed flags = Parse(words);
  absl::StatusOr<GenerationSpec> spec =
      flags.sampling.MakeSpec(flags.choices.Recommending(SmallModelInfo()), ByteText());
  if (!spec.ok()) return {.shape = spec.status(), .spec = {}};
  Applied applied = {.shape = RequestShape(), .spec = *std::move(spec)};
  applied.shape =
      flags.choices.Apply(SmallModelInfo(), prompt_tokens, applied.spec, applied.max_new_tokens);
  return applied;
}

std::string Contradiction(const std::vector<std::string>& words) {
  return std::string(Parse(words).choices.Check().message());
}

TEST(ChoiceFlags, WithoutThemThereIsOneAnswer) {
  const Applied applied = Apply({});
  ASSERT_TRUE(applied.shape.ok()) << applied.shape.status();
  EXPECT_EQ(applied.shape->sequences, 1);
  EXPECT_EQ(applied.shape->max_draft_tokens, 0);
  EXPECT_FALSE(applied.spec.rolls || applied.spec.beam || applied.spec.output.total_logprob);
  EXPECT_EQ(applied.max_new_tokens, 256);
  EXPECT_FALSE(Parse({}).choices.several());
  EXPECT_FALSE(Parse({"--n", "1"}).choices.several());
}

TEST(ChoiceFlags, EachSettingHasItsFlag) {
  const Applied several = Apply({"--n", "2", "--best-of", "5", "--context-policy", "roll",
                                 "--kept-tokens", "9", "--speculation", "prompt-lookup",
                                 "--max-draft-tokens", "3", "--max-new-tokens", "9000"});
  ASSERT_TRUE(several.shape.ok()) << several.shape.status();
  EXPECT_EQ(several.shape->choices, 2);
  EXPECT_EQ(several.shape->sequences, 5);
  EXPECT_TRUE(several.shape->ranked && several.spec.output.total_logprob);
  EXPECT_EQ(several.shape->roll_kept_tokens, 9);
  EXPECT_TRUE(several.spec.rolls);
  EXPECT_EQ(several.shape->max_draft_tokens, 3);
  EXPECT_EQ(several.max_new_tokens, 9000);

  const Applied beam = Apply(
      {"--beam-width", "4", "--n", "3", "--length-penalty", "-0.5", "--early-stopping", "always"});
  ASSERT_TRUE(beam.shape.ok()) << beam.shape.status();
  EXPECT_TRUE(beam.shape->beam);
  EXPECT_EQ(beam.shape->sequences, 4);
  const BeamSettings wanted = {.width = 4,
                               .returned = 3,
                               .length_penalty = -0.5f,
                               .early_stopping = BeamSettings::EarlyStopping::kAlways};
  EXPECT_EQ(beam.spec.beam, wanted);
  EXPECT_EQ(beam.spec.sampling.temperature, 0) << "the model recommends 0.7";
}

TEST(ChoiceFlags, AFullContextStopsAsAsked) {
  for (const std::vector<std::string>& words :
       {std::vector<std::string>{"--stop-at-context"}, {"--context-policy", "stop"}}) {
    std::vector<std::string> flags = words;
    flags.insert(flags.end(), {"-n", "5000"});
    EXPECT_EQ(Apply(flags, /*prompt_tokens=*/96).max_new_tokens, 4000);
  }
  EXPECT_EQ(Apply({"-n", "5000"}).max_new_tokens, 5000) << "the engine refuses it";
}

TEST(ChoiceFlags, ContradictionsNameTheFlag) {
  EXPECT_THAT(Contradiction({"--n", "3", "--best-of", "2"}), StartsWith("--best-of: 2 is below"));
  EXPECT_THAT(Contradiction({"--beam-width", "2", "--n", "3"}), StartsWith("--n: 3 is above"));
  EXPECT_THAT(Contradiction({"--beam-width", "3", "--best-of", "2"}), StartsWith("--best-of: "));
  EXPECT_THAT(Contradiction({"--beam-width", "3", "--speculation", "prompt-lookup"}),
              StartsWith("--speculation: "));
  EXPECT_THAT(Contradiction({"--beam-width", "3", "--context-policy", "roll"}),
              StartsWith("--context-policy: "));
  EXPECT_THAT(Contradiction({"--length-penalty", "2"}), StartsWith("--length-penalty: needs"));
  EXPECT_THAT(Contradiction({"--early-stopping", "never"}), StartsWith("--early-stopping: needs"));
  EXPECT_THAT(Contradiction({"--kept-tokens", "4"}), StartsWith("--kept-tokens: needs"));
  EXPECT_THAT(Contradiction({"--stop-at-context", "--context-policy", "roll"}),
              StartsWith("--stop-at-context: contradicts"));
  const auto refusal = [](const std::vector<std::string>& words) {
    return std::string(Apply(words).shape.status().message());
  };
  EXPECT_THAT(refusal({"--beam-width", "3", "--temperature", "0.5"}), StartsWith("--temperature:"));
  EXPECT_THAT(refusal({"--beam-width", "3", "--top-n-sigma", "1"}), StartsWith("--top-n-sigma:"));
  EXPECT_THAT(refusal({"--beam-width", "3", "--xtc-probability", "1"}),
              StartsWith("--xtc-probability:"));
  EXPECT_THAT(refusal({"--n", "2", "--temperature", "0"}), StartsWith("--n: at temperature 0"));
  EXPECT_THAT(refusal({"--best-of", "2", "--temperature", "0"}),
              StartsWith("--best-of: at temperature 0"));
  EXPECT_THAT(refusal({"--context-policy", "roll", "--kept-tokens", "2049"}),
              StartsWith("--kept-tokens: 2049 is out of range; allowed is from 0 to 2048"));
  EXPECT_THAT(refusal({"--context-policy", "roll", "--max-new-tokens", "1000001"}),
              StartsWith("--max-new-tokens: 1000001"));
  EXPECT_THROW(Parse({"--n", "65"}), CLI::ParseError);
  EXPECT_THROW(Parse({"--beam-width", "1"}), CLI::ParseError);
  EXPECT_THROW(Parse({"--max-draft-tokens", "33"}), CLI::ParseError);
}

std::vector<CompletionResult> TwoChoices() {
  std::vector<CompletionResult> choices(2);
  choices[0].text = "first";
  choices[0].tokens = {1, 2, 3};
  choices[0].finished.finish.reason = FinishReason::kLength;
  choices[0].finished.finish.total_logprob = -1.5;
  choices[0].finished.finish.score = -0.5;
  choices[1].text = "second";
  choices[1].tokens = {4};
  choices[1].finished.finish.reason = FinishReason::kStopToken;
  for (CompletionResult& choice : choices) choice.finished.usage.generated_tokens = 9;
  return choices;
}

TEST(ChoicesText, TellsOfEachChoiceItsIndexItsScoreAndItsEnd) {
  EXPECT_EQ(ChoicesText(TwoChoices(), ByteText()),
            "[0] score -0.5000, 3 tokens, length\nfirst\n\n[1] 1 tokens, stop_token\nsecond\n");
  EXPECT_THAT(ChoicesFacts(GenerationSpec(), TwoChoices()),
              StartsWith("2 choices, 9 tokens generated in "));
}

TEST(ChoicesJson, ListsTheChoicesAndSaysOnceWhatIsTheRequests) {
  GenerationSpec spec;
  spec.sampling.seed = 7;
  const nlohmann::ordered_json json =
      ChoicesJson(SmallModelInfo(), spec, {.choices = 2, .sequences = 4}, TwoChoices());
  ASSERT_EQ(json["choices"].size(), 2u);
  EXPECT_EQ(json["choices"][1]["index"], 1);
  EXPECT_EQ(json["choices"][1]["finish_reason"], "stop_token");
  EXPECT_FALSE(json["choices"][1].contains("score"));
  EXPECT_EQ(json["choices"][0]["score"], -0.5);
  EXPECT_EQ(json["choices"][0]["tokens"], nlohmann::json({1, 2, 3}));
  EXPECT_EQ(json["best_of"], 4);
  EXPECT_EQ(json["seed"], 7);
  EXPECT_EQ(json["usage"]["generated_tokens"], 9);
  EXPECT_FALSE(json.contains("text") || json.contains("beam_search"));
  spec.beam = BeamSettings{.width = 3};
  EXPECT_EQ(
      ChoicesJson(SmallModelInfo(), spec, {.choices = 2}, TwoChoices())["beam_search"]["width"], 3);
}

}  // namespace
}  // namespace hocket
