#include "runtime/model/architecture_spec.h"

#include <cmath>

#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "nlohmann/json.hpp"

namespace hocket {
namespace {

using testing::HasSubstr;

nlohmann::json LlamaConfig() {
  return {{"architectures", {"LlamaForCausalLM"}},
          {"hidden_size", 64},
          {"intermediate_size", 96},
          {"num_hidden_layers", 2},
          {"num_attention_heads", 4},
          {"vocab_size", 300},
          {"max_position_embeddings", 128}};
}

absl::Status Error(const nlohmann::json& config) {
  return ParseArchitecture(config.dump(), "dir/config.json").status();
}

void ExpectError(const nlohmann::json& config, absl::StatusCode code,
                 const std::vector<std::string>& parts) {
  const absl::Status status = Error(config);
  EXPECT_EQ(status.code(), code) << status;
  EXPECT_THAT(std::string(status.message()), HasSubstr("dir/config.json"));
  for (const std::string& part : parts) {
    EXPECT_THAT(std::string(status.message()), HasSubstr(part));
  }
}

TEST(ArchitectureSpec, FillsInTheEcosystemsDefaults) {
  const auto spec = ParseArchitecture(LlamaConfig().dump(), "config.json");
  ASSERT_TRUE(spec.ok()) << spec.status();
  EXPECT_EQ(spec->kv_heads, 4);
  EXPECT_EQ(spec->head_dim, 16);
  EXPECT_EQ(spec->norm_epsilon, 1e-6);
  EXPECT_EQ(spec->rotary.base, 10000.0);
  EXPECT_FALSE(spec->tied_head);
  EXPECT_FALSE(spec->qkv_bias);
}

TEST(ArchitectureSpec, NullCountsAsMissing) {
  auto config = LlamaConfig();
  config["rope_scaling"] = nullptr;
  config["head_dim"] = nullptr;
  EXPECT_TRUE(Error(config).ok()) << Error(config);
}

TEST(ArchitectureSpec, AnEndOfTextTokenOfMinusOneIsNone) {
  auto config = LlamaConfig();
  config["eos_token_id"] = -1;
  const auto spec = ParseArchitecture(config.dump(), "config.json");
  ASSERT_TRUE(spec.ok()) << spec.status();
  EXPECT_TRUE(spec->end_of_text_tokens.empty());
}

TEST(ArchitectureSpec, AVocabularyBeyondTheSamplingStageIsRefused) {
  auto config = LlamaConfig();
  config["vocab_size"] = 1 << 22;
  EXPECT_TRUE(Error(config).ok()) << Error(config);
  config["vocab_size"] = (1 << 22) + 1;
  ExpectError(config, absl::StatusCode::kInvalidArgument, {"vocab_size", "4194304"});
}

TEST(ArchitectureSpec, Qwen2HasBiasesOnQueriesKeysAndValuesOnly) {
  auto config = LlamaConfig();
  config["architectures"] = {"Qwen2ForCausalLM"};
  const auto spec = ParseArchitecture(config.dump(), "config.json");
  ASSERT_TRUE(spec.ok());
  EXPECT_TRUE(spec->qkv_bias);
  EXPECT_FALSE(spec->attention_output_bias);
}

TEST(ArchitectureSpec, EveryMissingFieldIsNamed) {
  for (const char* field :
       {"architectures", "hidden_size", "intermediate_size", "num_hidden_layers",
        "num_attention_heads", "vocab_size", "max_position_embeddings"}) {
    auto config = LlamaConfig();
    config.erase(field);
    ExpectError(config, absl::StatusCode::kInvalidArgument, {field, "missing"});
  }
}

TEST(ArchitectureSpec, WrongTypesAndValuesAreNamed) {
  const std::vector<std::pair<std::string, nlohmann::json>> wrong = {
      {"hidden_size", "64"},  {"hidden_size", 0},         {"vocab_size", -5},
      {"vocab_size", 1.5},    {"num_hidden_layers", 1e9}, {"rms_norm_eps", -1},
      {"rope_theta", "much"}, {"tie_word_embeddings", 1}, {"num_key_value_heads", 3},
      {"head_dim", 12},       {"eos_token_id", {1, "x"}}, {"rope_scaling", 5}};
  for (const auto& [field, value] : wrong) {
    auto config = LlamaConfig();
    config[field] = value;
    ExpectError(config, absl::StatusCode::kInvalidArgument, {field});
  }
}

TEST(ArchitectureSpec, WhatTheDecoderCannotRunIsUnimplemented) {
  const std::vector<std::tuple<std::string, nlohmann::json, std::string>> cases = {
      {"architectures", {"MambaForCausalLM"}, "MambaForCausalLM"},
      {"hidden_act", "gelu", "gelu"},
      {"rope_scaling", {{"rope_type", "yarn"}, {"factor", 4.0}}, "yarn"},
      {"rope_parameters", {{"rope_type", "longrope"}}, "longrope"},
      {"partial_rotary_factor", 0.5, "partial_rotary_factor"},
      {"rope_parameters", {{"partial_rotary_factor", 0.5}}, "partial_rotary_factor"},
      {"quantization_config", {{"quant_method", "gptq"}}, "quantization_config"}};
  for (const auto& [field, value, named] : cases) {
    auto config = LlamaConfig();
    config[field] = value;
    ExpectError(config, absl::StatusCode::kUnimplemented, {named});
  }
}

TEST(ArchitectureSpec, Llama3ScalingNeedsAllItsFields) {
  auto config = LlamaConfig();
  config["rope_scaling"] = {{"rope_type", "llama3"}, {"factor", 8.0}, {"low_freq_factor", 1.0}};
  ExpectError(config, absl::StatusCode::kInvalidArgument, {"rope_scaling.high_freq_factor"});
}

TEST(ArchitectureSpec, PositionsTurnByFiniteAngles) {
  for (const double base : {1e-300, 0.5}) {
    auto config = LlamaConfig();
    config["rope_theta"] = base;
    ExpectError(config, absl::StatusCode::kInvalidArgument, {"rope_theta", "at least 1"});
    config["rope_theta"] = 1;
    config["rope_scaling"] = {{"rope_type", "linear"}, {"factor", base}};
    ExpectError(config, absl::StatusCode::kInvalidArgument, {"rope_scaling.factor", "at least 1"});
  }
}

TEST(ArchitectureSpec, AValueOfAnyDepthIsAnErrorAndNotACrash) {
  constexpr size_t kDepth = 1 << 20;
  const std::string deep = std::string(kDepth, '[') + std::string(kDepth, ']');
  std::string text = LlamaConfig().dump();
  text.replace(text.find(":64"), 3, ":" + deep);
  const auto spec = ParseArchitecture(text, "dir/config.json");
  EXPECT_EQ(spec.status().code(), absl::StatusCode::kInvalidArgument);
  EXPECT_THAT(std::string(spec.status().message()), HasSubstr("hidden_size is a list"));
}

TEST(ArchitectureSpec, BrokenJsonIsAnErrorAndNotACrash) {
  for (const char* text : {"", "{", "[]", "3", "{\"a\":1}}", "\xff\xfe"}) {
    const auto spec = ParseArchitecture(text, "dir/config.json");
    EXPECT_EQ(spec.status().code(), absl::StatusCode::kInvalidArgument);
    EXPECT_THAT(std::string(spec.status().message()), HasSubstr("dir/config.json"));
  }
}

TEST(RotaryFrequencies, Llama3KeepsShortWavelengthsAndStretchesLongOnes) {
  RotarySpec plain{500000.0};
  RotarySpec scaled{500000.0, RotaryScaling::kLlama3, 8.0, 1.0, 4.0, 8192};
  const auto before = RotaryFrequencies(plain, 128);
  const auto after = RotaryFrequencies(scaled, 128);
  EXPECT_EQ(after.front(), before.front());
  EXPECT_FLOAT_EQ(after.back(), before.back() / 8);
  for (size_t i = 0; i < after.size(); ++i) {
    EXPECT_LE(after[i], before[i]);
    EXPECT_GE(after[i], before[i] / 8.001f);
  }
}

}  // namespace
}  // namespace hocket
