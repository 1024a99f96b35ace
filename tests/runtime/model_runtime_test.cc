#include "runtime/model_runtime.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <filesystem>

namespace hocket {
namespace {

using testing::HasSubstr;

TEST(Precision, NamesAreReadBack) {
  for (Precision precision : {Precision::kAuto, Precision::kF32, Precision::kBf16}) {
    EXPECT_EQ(*ParsePrecision(PrecisionName(precision)), precision);
  }
  const absl::Status status = ParsePrecision("fp16").status();
  EXPECT_EQ(status.code(), absl::StatusCode::kInvalidArgument);
  EXPECT_THAT(std::string(status.message()), HasSubstr("\"fp16\" is none of auto, f32, bf16"));
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
