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
  absl::StatusOr<GenerationSpec> spec = Parse({}).MakeSpec(SmallModelInfo());
  ASSERT_TRUE(spec.ok()) << spec.status();
  EXPECT_EQ(spec->sampling.temperature, 0.7f);
  EXPECT_EQ(spec->sampling.top_k, 40);
}

TEST(SamplingFlags, AZeroIsNotTakenForUnset) {
  absl::StatusOr<GenerationSpec> spec =
      Parse({"--temperature", "0", "--top-k", "0", "--seed", "0"}).MakeSpec(SmallModelInfo());
  ASSERT_TRUE(spec.ok()) << spec.status();
  EXPECT_EQ(spec->sampling.temperature, 0);
  EXPECT_EQ(spec->sampling.top_k, 0);
  EXPECT_EQ(spec->sampling.seed, 0u);
}

TEST(SamplingFlags, ASeedIsDrawnWhenNotGivenAndMayHaveAll64Bits) {
  EXPECT_NE(Parse({}).MakeSpec(SmallModelInfo())->sampling.seed,
            Parse({}).MakeSpec(SmallModelInfo())->sampling.seed);
  EXPECT_EQ(Parse({"--seed", "18446744073709551615"}).seed, 18446744073709551615u);
  EXPECT_THROW(Parse({"--seed", "18446744073709551616"}), CLI::ParseError);
  EXPECT_THROW(Parse({"--seed", "-1"}), CLI::ParseError);
}

TEST(SamplingFlags, StopsMayBeGivenSeveralTimes) {
  absl::StatusOr<GenerationSpec> spec =
      Parse({"--stop", "The end", "--stop", "a,b", "--stop-token", "3", "--stop-token", "4",
             "--ignore-eos", "--include-stop", "--min-new-tokens", "2", "-n", "9"})
          .MakeSpec(SmallModelInfo());
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
      std::string(Parse({"--stop-token", "256"}).MakeSpec(SmallModelInfo()).status().message()),
      HasSubstr("--stop-token: 256 is not a token"));
  EXPECT_THAT(std::string(Parse({"--stop", ""}).Check().message()), HasSubstr("--stop"));
}

TEST(SamplingFlags, ValuesOutOfRangeSayTheRange) {
  for (const auto& words : std::vector<std::vector<std::string>>{{"--top-p", "0"},
                                                                 {"--top-p", "1.1"},
                                                                 {"--temperature", "-1"},
                                                                 {"--temperature", "nan"},
                                                                 {"--top-k", "-1"},
                                                                 {"-n", "0"},
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
