#include "service/cli/sampling_flags.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "CLI/CLI.hpp"
#include "small_model.h"

namespace hocket {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;

SamplingFlags Parse(std::vector<std::string> words) {
  SamplingFlags flags;
  CLI::App app;
  flags.AddSampling(app);
  flags.AddStopping(app);
  std::reverse(words.begin(), words.end());
  app.parse(words);
  return flags;
}

TEST(SamplingFlags, WhatIsNotGivenIsTheModelsOwn) {
  absl::StatusOr<GenerationSpec> spec = Parse({}).MakeSpec(SmallModelInfo(), ByteText());
  ASSERT_TRUE(spec.ok()) << spec.status();
  EXPECT_EQ(spec->sampling.temperature, 0.7f);
  EXPECT_EQ(spec->sampling.top_k, 40);
}

TEST(SamplingFlags, AZeroIsNotTakenForUnset) {
  absl::StatusOr<GenerationSpec> spec = Parse({"--temperature", "0", "--top-k", "0", "--seed", "0"})
                                            .MakeSpec(SmallModelInfo(), ByteText());
  ASSERT_TRUE(spec.ok()) << spec.status();
  EXPECT_EQ(spec->sampling.temperature, 0);
  EXPECT_EQ(spec->sampling.top_k, 0);
  EXPECT_EQ(spec->sampling.seed, 0u);
}

TEST(SamplingFlags, ASeedIsDrawnWhenNotGivenAndMayHaveAll64Bits) {
  EXPECT_NE(Parse({}).MakeSpec(SmallModelInfo(), ByteText())->sampling.seed,
            Parse({}).MakeSpec(SmallModelInfo(), ByteText())->sampling.seed);
  EXPECT_EQ(Parse({"--seed", "18446744073709551615"}).seed, 18446744073709551615u);
  EXPECT_THROW(Parse({"--seed", "18446744073709551616"}), CLI::ParseError);
  EXPECT_THROW(Parse({"--seed", "-1"}), CLI::ParseError);
}

TEST(SamplingFlags, StopsMayBeGivenSeveralTimes) {
  absl::StatusOr<GenerationSpec> spec =
      Parse({"--stop", "The end", "--stop", "a,b", "--stop-token", "3", "--stop-token", "4",
             "--ignore-eos", "--include-stop", "--min-new-tokens", "2", "-n", "9"})
          .MakeSpec(SmallModelInfo(), ByteText());
  ASSERT_TRUE(spec.ok()) << spec.status();
  EXPECT_THAT(spec->stopping.stop_strings, ElementsAre("The end", "a,b"));
  EXPECT_THAT(spec->stopping.stop_tokens, ElementsAre(3, 4));
  EXPECT_TRUE(spec->stopping.ignore_eos);
  EXPECT_TRUE(spec->stopping.include_stop_string);
  EXPECT_EQ(spec->stopping.min_new_tokens, 2);
  EXPECT_EQ(spec->stopping.max_new_tokens, 9);
}

TEST(SamplingFlags, ContradictionsAndStrangersAreNamed) {
  EXPECT_THAT(std::string(Parse({"--min-new-tokens", "10", "-n", "9"}).Check().message()),
              HasSubstr("--min-new-tokens: 10 is above --max-new-tokens 9"));
  EXPECT_THAT(
      std::string(
          Parse({"--stop-token", "256"}).MakeSpec(SmallModelInfo(), ByteText()).status().message()),
      HasSubstr("--stop-token: 256 is not a token"));
  EXPECT_THAT(std::string(Parse({"--stop", ""}).Check().message()), HasSubstr("--stop"));
}

TEST(SamplingFlags, EveryFilterAndPenaltyHasItsFlag) {
  absl::StatusOr<GenerationSpec> spec = Parse({"--min-p",
                                               "0.05",
                                               "--typical-p",
                                               "0.9",
                                               "--top-n-sigma",
                                               "1.5",
                                               "--repetition-penalty",
                                               "1.1",
                                               "--presence-penalty",
                                               "0.5",
                                               "--frequency-penalty",
                                               "0.25",
                                               "--penalty-window",
                                               "64",
                                               "--xtc-probability",
                                               "0.5",
                                               "--xtc-threshold",
                                               "0.2",
                                               "--dry-multiplier",
                                               "0.8",
                                               "--dry-base",
                                               "2",
                                               "--dry-allowed-length",
                                               "3",
                                               "--dry-window",
                                               "512",
                                               "--dry-breaker",
                                               ".",
                                               "--dry-breaker",
                                               ",",
                                               "--logit-bias",
                                               "9=1",
                                               "--logit-bias",
                                               "5=-2.5",
                                               "--allow-token",
                                               "9",
                                               "--allow-token",
                                               "5",
                                               "--ban-token",
                                               "9",
                                               "--bad-word",
                                               "ab"})
                                            .MakeSpec(SmallModelInfo(), ByteText());
  ASSERT_TRUE(spec.ok()) << spec.status();
  const SamplingSettings& sampling = spec->sampling;
  EXPECT_EQ(sampling.min_p, 0.05f);
  EXPECT_EQ(sampling.typical_p, 0.9f);
  EXPECT_EQ(sampling.top_n_sigma, 1.5f);
  EXPECT_EQ(sampling.repetition_penalty, 1.1f);
  EXPECT_EQ(sampling.presence_penalty, 0.5f);
  EXPECT_EQ(sampling.frequency_penalty, 0.25f);
  EXPECT_EQ(sampling.penalty_window_tokens, 64);
  EXPECT_EQ(sampling.xtc, (XtcSettings{0.5f, 0.2f}));
  EXPECT_EQ(sampling.dry, (DrySettings{0.8f, 2, 3, 512, {".", ","}}));
  EXPECT_THAT(sampling.logit_bias, ElementsAre(TokenBias{5, -2.5f}, TokenBias{9, 1}));
  EXPECT_THAT(sampling.allowed_tokens, ElementsAre(9, 5));
  EXPECT_THAT(sampling.banned_tokens, ElementsAre(9));
  EXPECT_THAT(sampling.bad_word_tokens,
              ElementsAre(ElementsAre(' ', 'a', 'b'), ElementsAre('a', 'b')));
}

TEST(SamplingFlags, EveryOtherEndHasItsFlag) {
  absl::StatusOr<GenerationSpec> spec =
      Parse({"--stop-at-sentence-end", "--time-limit", "2.5", "--stop-at-repetition",
             "--repetition-pattern", "8", "--repetition-repeats", "3"})
          .MakeSpec(SmallModelInfo(), ByteText());
  ASSERT_TRUE(spec.ok()) << spec.status();
  EXPECT_TRUE(spec->stopping.stop_at_sentence_end);
  EXPECT_EQ(spec->stopping.time_limit, absl::Milliseconds(2500));
  EXPECT_EQ(spec->stopping.repetition, (RepetitionSettings{8, 3}));
  EXPECT_THAT(std::string(Parse({"--repetition-pattern", "8"}).Check().message()),
              HasSubstr("--stop-at-repetition"));
}

TEST(SamplingFlags, ConstraintsExcludeEachOtherAndSayWhatIsWrong) {
  EXPECT_THAT(std::string(Parse({"--json", "--regex", "a"}).Check().message()),
              HasSubstr("exclude each other"));
  const auto message = [](std::vector<std::string> words) {
    return std::string(
        Parse(std::move(words)).MakeSpec(SmallModelInfo(), ByteText()).status().message());
  };
  EXPECT_THAT(message({"--regex", "a+"}), HasSubstr("kind 1: a+"));
  EXPECT_THAT(message({"--choice", "a", "--choice", "b"}), HasSubstr("[\"a\",\"b\"]"));
  EXPECT_THAT(message({"--json-schema", "@/no/such/file"}),
              HasSubstr("cannot read \"/no/such/file\""));
}

TEST(SamplingFlags, FlagsThatNeedAnotherOrAreWrongAreNamed) {
  const auto message = [](std::vector<std::string> words) {
    return std::string(
        Parse(std::move(words)).MakeSpec(SmallModelInfo(), ByteText()).status().message());
  };
  EXPECT_THAT(message({"--xtc-threshold", "0.1"}), HasSubstr("needs --xtc-probability"));
  EXPECT_THAT(message({"--dry-base", "2"}), HasSubstr("--dry-multiplier"));
  EXPECT_THAT(message({"--logit-bias", "5"}), HasSubstr("--logit-bias: \"5\" is not TOKEN=VALUE"));
  EXPECT_THAT(message({"--logit-bias", "256=1"}), HasSubstr("--logit-bias: 256 is not a token"));
  EXPECT_THAT(message({"--logit-bias", "2=101"}), HasSubstr("from -100 to 100"));
  EXPECT_THAT(message({"--ban-token", "256"}), HasSubstr("--ban-token: 256 is not a token"));
}

TEST(SamplingFlags, ValuesOutOfRangeSayTheRange) {
  for (const auto& words : std::vector<std::vector<std::string>>{{"--top-p", "0"},
                                                                 {"--top-p", "1.1"},
                                                                 {"--temperature", "-1"},
                                                                 {"--temperature", "nan"},
                                                                 {"--top-k", "-1"},
                                                                 {"-n", "0"},
                                                                 {"--min-p", "1.5"},
                                                                 {"--typical-p", "0"},
                                                                 {"--repetition-penalty", "0"},
                                                                 {"--xtc-threshold", "0.51"},
                                                                 {"--top-k", "1.5"}}) {
    try {
      Parse(words);
      ADD_FAILURE() << words[0] << " " << words[1];
    } catch (const CLI::ParseError& error) {
      EXPECT_THAT(error.what(), HasSubstr("allowed is"));
    }
  }
}

}  // namespace
}  // namespace hocket
