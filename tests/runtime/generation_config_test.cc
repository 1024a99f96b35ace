#include "runtime/generation_config.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <filesystem>
#include <fstream>

namespace hocket {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;

class GenerationConfigTest : public testing::Test {
 protected:
  void SetUp() override {
    folder_ = testing::TempDir() + "/generation_config_test";
    std::filesystem::remove_all(folder_);
    std::filesystem::create_directories(folder_);
  }
  void Write(const std::string& name, const std::string& text) {
    std::ofstream(folder_ + "/" + name) << text;
  }
  absl::StatusOr<GenerationConfig> Read() { return ReadGenerationConfig(folder_, 100); }

  std::string folder_;
};

TEST_F(GenerationConfigTest, GenerationConfigComesBeforeConfig) {
  Write("config.json", R"({"eos_token_id": 7})");
  EXPECT_THAT(Read()->end_of_text_tokens, ElementsAre(7));
  Write("generation_config.json", R"({"eos_token_id": [9, 2, 9]})");
  EXPECT_THAT(Read()->end_of_text_tokens, ElementsAre(2, 9));
}

TEST_F(GenerationConfigTest, NoEndOfTextIsFine) {
  Write("config.json", R"({"eos_token_id": null})");
  EXPECT_THAT(Read()->end_of_text_tokens, IsEmpty());
  Write("config.json", R"({"eos_token_id": -1})");
  EXPECT_THAT(Read()->end_of_text_tokens, IsEmpty());
}

TEST_F(GenerationConfigTest, TakesTheRecommendedSampling) {
  Write("config.json", "{}");
  EXPECT_EQ(Read()->default_sampling.temperature, 1.0f);
  Write("generation_config.json",
        R"({"do_sample": true, "temperature": 0.6, "top_k": 20, "top_p": 0.95})");
  const SamplingSettings sampling = Read()->default_sampling;
  EXPECT_EQ(sampling.temperature, 0.6f);
  EXPECT_EQ(sampling.top_k, 20);
  EXPECT_EQ(sampling.top_p, 0.95f);
}

TEST_F(GenerationConfigTest, TakesTheRecommendedFiltersAndPenalty) {
  Write("config.json", "{}");
  Write("generation_config.json",
        R"({"min_p": 0.05, "typical_p": 0.9, "repetition_penalty": 1.1, "top_k": null})");
  SamplingSettings sampling = Read()->default_sampling;
  EXPECT_EQ(sampling.min_p, 0.05f);
  EXPECT_EQ(sampling.typical_p, 0.9f);
  EXPECT_EQ(sampling.repetition_penalty, 1.1f);
  EXPECT_EQ(sampling.top_k, 0);
  Write("generation_config.json",
        R"({"do_sample": false, "min_p": 0.05, "typical_p": 0.9, "repetition_penalty": 1.1})");
  sampling = Read()->default_sampling;
  EXPECT_EQ(sampling.min_p, 0);
  EXPECT_EQ(sampling.typical_p, 1);
  EXPECT_EQ(sampling.repetition_penalty, 1);
}

TEST_F(GenerationConfigTest, RecommendsNothingWhenItSaysNotToSample) {
  Write("config.json", "{}");
  Write("generation_config.json", R"({"do_sample": false, "temperature": 0.6, "top_k": 20})");
  EXPECT_EQ(Read()->default_sampling.temperature, 1.0f);
  EXPECT_EQ(Read()->default_sampling.top_k, 0);
}

TEST_F(GenerationConfigTest, NamesTheFileAndTheFieldThatIsWrong) {
  const auto expect = [&](const std::string& text, const std::string& problem) {
    Write("generation_config.json", text);
    const absl::Status status = Read().status();
    EXPECT_EQ(status.code(), absl::StatusCode::kInvalidArgument) << text;
    EXPECT_THAT(std::string(status.message()), HasSubstr("generation_config.json"));
    EXPECT_THAT(std::string(status.message()), HasSubstr(problem));
  };
  Write("config.json", "{}");
  expect("{", "JSON");
  expect(R"({"eos_token_id": "two"})", "eos_token_id");
  expect(R"({"eos_token_id": 100})", "outside the vocabulary of 100");
  expect(R"({"temperature": "hot"})", "temperature");
  expect(R"({"top_p": 3})", "top_p");
  expect(R"({"min_p": -0.5})", "min_p");
  expect(R"({"typical_p": 0})", "typical_p");
  expect(R"({"repetition_penalty": "some"})", "repetition_penalty");
  expect(R"({"repetition_penalty": 0})", "repetition_penalty");
}

}  // namespace
}  // namespace hocket
