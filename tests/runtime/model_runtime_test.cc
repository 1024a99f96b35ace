#include "runtime/model_runtime.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <filesystem>

namespace hocket {
namespace {

using testing::HasSubstr;

TEST(Precision, NamesAreReadBack) {
  for (Precision precision : {Precision::kAuto, Precision::kF32, Precision::kBf16, Precision::kInt8,
                              Precision::kInt4, Precision::kInt4G128}) {
    EXPECT_EQ(*ParsePrecision(PrecisionName(precision)), precision);
  }
  for (KvPrecision precision :
       {KvPrecision::kAuto, KvPrecision::kF32, KvPrecision::kBf16, KvPrecision::kInt8}) {
    EXPECT_EQ(*ParseKvPrecision(KvPrecisionName(precision)), precision);
  }
  const absl::Status status = ParsePrecision("fp16").status();
  EXPECT_EQ(status.code(), absl::StatusCode::kInvalidArgument);
  EXPECT_THAT(std::string(status.message()), HasSubstr("\"fp16\" is none of auto, f32, bf16"));
}

TEST(Precision, AutoIsInt8WhereTheCpuComputesItAndSaysWhy) {
  const auto expect = [](Int8Support cpu, Precision precision, const char* reason) {
    const PrecisionChoice choice = ChoosePrecision(Precision::kAuto, cpu);
    EXPECT_EQ(choice.precision, precision);
    EXPECT_EQ(choice.reason, reason);
  };
  expect(Int8Support::kAmx, Precision::kInt8, "auto: this CPU has AMX");
  expect(Int8Support::kAvx512Vnni, Precision::kInt8, "auto: this CPU has AVX-512 VNNI");
  expect(Int8Support::kAvxVnni, Precision::kInt8, "auto: this CPU has AVX-VNNI");
  expect(Int8Support::kAvx2, Precision::kInt8, "auto: this CPU has AVX2");
  expect(Int8Support::kNone, Precision::kBf16, "auto: this CPU has no int8 products");
}

TEST(Precision, WhatIsSetIsTaken) {
  const PrecisionChoice choice = ChoosePrecision(Precision::kInt4, Int8Support::kNone);
  EXPECT_EQ(choice.precision, Precision::kInt4);
  EXPECT_EQ(choice.reason, "as set");
}

TEST(Precision, KeysAndValuesAreBf16UnlessWeightsAreF32OrSomethingIsSet) {
  EXPECT_EQ(ChooseKvPrecision(KvPrecision::kAuto, Precision::kF32), KvPrecision::kF32);
  for (Precision weights : {Precision::kBf16, Precision::kInt8, Precision::kInt4}) {
    EXPECT_EQ(ChooseKvPrecision(KvPrecision::kAuto, weights), KvPrecision::kBf16);
  }
  EXPECT_EQ(ChooseKvPrecision(KvPrecision::kInt8, Precision::kF32), KvPrecision::kInt8);
}

TEST(RuntimeSettings, NamesTheFieldThatIsWrong) {
  const auto expect = [](RuntimeSettings settings, const std::string& field) {
    const absl::Status status = settings.Validate();
    EXPECT_EQ(status.code(), absl::StatusCode::kInvalidArgument);
    EXPECT_THAT(std::string(status.message()), HasSubstr(field));
  };
  RuntimeSettings good;
  good.model_dir = "somewhere";
  EXPECT_TRUE(good.Validate().ok());
  expect({}, "model_dir");
  RuntimeSettings bad = good;
  bad.block_tokens = 24;
  expect(bad, "block_tokens");
  bad = good;
  bad.threads = -1;
  expect(bad, "threads");
  bad = good;
  bad.max_step_tokens = 0;
  expect(bad, "max_step_tokens");
  bad = good;
  bad.max_running_sequences = 0;
  expect(bad, "max_running_sequences");
  bad = good;
  bad.kv_cache_bytes = -1;
  expect(bad, "kv_cache_bytes");
  bad = good;
  bad.shared_memory.promised_bytes = -1;
  expect(bad, "shared_memory");
  bad = good;
  bad.shared_memory.kv_shares = 0;
  expect(bad, "shared_memory.kv_shares");
  bad = good;
  bad.weight_cache = "";
  expect(bad, "weight_cache");
}

TEST(ModelRuntime, SaysWhatAFolderMustHold) {
  RuntimeSettings settings;
  settings.model_dir = testing::TempDir() + "/no_such_model";
  absl::Status status = ModelRuntime::Load(settings).status();
  EXPECT_EQ(status.code(), absl::StatusCode::kNotFound);
  EXPECT_THAT(std::string(status.message()), HasSubstr("no_such_model is not a folder"));

  settings.model_dir = testing::TempDir() + "/empty_model";
  std::filesystem::create_directories(settings.model_dir);
  status = ModelRuntime::Load(settings).status();
  EXPECT_EQ(status.code(), absl::StatusCode::kNotFound);
  EXPECT_THAT(std::string(status.message()), HasSubstr("empty_model has no config.json"));
}

TEST(ModelRuntime, LoadsTheDefaultModel) {
  RuntimeSettings settings;
  settings.model_dir = std::string(HOCKET_SOURCE_DIR) + "/models/tales/";
  settings.kv_cache_bytes = 16 << 20;
  const auto runtime = ModelRuntime::Load(settings);
  ASSERT_TRUE(runtime.ok()) << runtime.status();
  const ModelInfo& info = (*runtime)->info();
  EXPECT_EQ(info.name, "tales");
  EXPECT_EQ(info.architecture, "LlamaForCausalLM");
  EXPECT_NE(info.precision, Precision::kAuto);
  EXPECT_FALSE(info.end_of_text_tokens.empty());
  EXPECT_GE(info.max_context_tokens, 512);
  EXPECT_LE((*runtime)->tokenizer().vocabulary_size(), info.vocabulary_size);
  EXPECT_TRUE(info.default_sampling.Validate().ok());
  ASSERT_NE((*runtime)->chat_template(), nullptr);
  EXPECT_TRUE((*runtime)->chat_template()->Render({{"user", "Tell me a story."}}, true).ok());
}

}  // namespace
}  // namespace hocket
