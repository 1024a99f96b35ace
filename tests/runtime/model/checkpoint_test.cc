// Damaged and unfit model folders: each error names the file, the tensor and what is wrong.
#include "runtime/model/checkpoint.h"

#include <unistd.h>

#include <cstdint>
#include <filesystem>
#include <fstream>
#include <functional>
#include <sstream>

#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "nlohmann/json.hpp"
#include "tests/runtime/model/decoder_harness.h"

namespace hocket {
namespace {

using testing::HasSubstr;
namespace fs = std::filesystem;

std::string ReadAll(const fs::path& path) {
  std::ostringstream text;
  text << std::ifstream(path, std::ios::binary).rdbuf();
  return text.str();
}

std::string Safetensors(const std::string& header, const std::string& data) {
  const uint64_t length = header.size();
  return std::string(reinterpret_cast<const char*>(&length), 8) + header + data;
}

// A copy of a fixture that a test may damage.
class ModelFolderTest : public testing::Test {
 protected:
  void SetUp() override {
    folder_ = fs::temp_directory_path() / ("hocket-folder-" + std::to_string(getpid()));
    Use("llama-gqa");
  }
  void TearDown() override { fs::remove_all(folder_); }

  void Use(const std::string& fixture) {
    fs::remove_all(folder_);
    fs::copy(FixtureFolder(fixture), folder_);
  }
  void Write(const std::string& name, const std::string& text) {
    std::ofstream(folder_ / name, std::ios::binary) << text;
  }

  // Changes the header of model.safetensors, keeping its data.
  void EditHeader(const std::function<void(nlohmann::json&)>& edit) {
    const std::string file = ReadAll(folder_ / "model.safetensors");
    uint64_t length = 0;
    std::memcpy(&length, file.data(), 8);
    auto header = nlohmann::json::parse(file.substr(8, length));
    edit(header);
    Write("model.safetensors", Safetensors(header.dump(), file.substr(8 + length)));
  }

  void ExpectLoadError(absl::StatusCode code, const std::vector<std::string>& parts) {
    const auto decoder = Decoder::Load(SmallSettings(folder_.string(), Precision::kF32));
    ASSERT_EQ(decoder.status().code(), code) << decoder.status();
    for (const std::string& part : parts) {
      EXPECT_THAT(std::string(decoder.status().message()), HasSubstr(part));
    }
  }

  fs::path folder_;
};

const char kQProj[] = "model.layers.1.self_attn.q_proj.weight";

TEST_F(ModelFolderTest, MissingConfig) {
  fs::remove(folder_ / "config.json");
  ExpectLoadError(absl::StatusCode::kNotFound, {"config.json"});
}

TEST_F(ModelFolderTest, MissingFolder) {
  fs::remove_all(folder_);
  ExpectLoadError(absl::StatusCode::kNotFound, {folder_.string()});
}

TEST_F(ModelFolderTest, MissingWeights) {
  fs::remove(folder_ / "model.safetensors");
  ExpectLoadError(absl::StatusCode::kNotFound, {"model.safetensors"});
}

TEST_F(ModelFolderTest, TruncatedWeights) {
  fs::resize_file(folder_ / "model.safetensors", fs::file_size(folder_ / "model.safetensors") - 10);
  ExpectLoadError(absl::StatusCode::kInvalidArgument, {"model.safetensors", "tensor", "cut short"});
}

TEST_F(ModelFolderTest, EveryTruncationIsAnErrorAndNotACrash) {
  const std::string whole = ReadAll(folder_ / "model.safetensors");
  for (const size_t size : {0, 1, 7, 8, 9, 100, 1000, 3000}) {
    Write("model.safetensors", whole.substr(0, size));
    ExpectLoadError(absl::StatusCode::kInvalidArgument, {"model.safetensors"});
  }
}

TEST_F(ModelFolderTest, HeaderLongerThanTheFile) {
  Write("model.safetensors", std::string(8, '\xff') + "{}");
  ExpectLoadError(absl::StatusCode::kInvalidArgument, {"header claims 18446744073709551615 bytes"});
}

TEST_F(ModelFolderTest, MissingTensor) {
  EditHeader([](nlohmann::json& header) { header.erase(kQProj); });
  ExpectLoadError(absl::StatusCode::kNotFound, {kQProj, "missing"});
}

TEST_F(ModelFolderTest, WrongShapeNamesFoundAndExpected) {
  EditHeader([](nlohmann::json& header) { header[kQProj]["shape"] = {24, 96}; });
  ExpectLoadError(absl::StatusCode::kInvalidArgument, {kQProj, "[24, 96]", "[48, 48]"});
}

TEST_F(ModelFolderTest, ShapeThatDoesNotMatchTheData) {
  EditHeader([](nlohmann::json& header) { header[kQProj]["shape"] = {48, 47}; });
  ExpectLoadError(absl::StatusCode::kInvalidArgument, {kQProj, "[48, 47]", "9216 bytes"});
}

TEST_F(ModelFolderTest, ShapeWhoseSizeOverflows) {
  EditHeader([](nlohmann::json& header) {
    header[kQProj]["shape"] = {int64_t{1} << 40, int64_t{1} << 40};
  });
  ExpectLoadError(absl::StatusCode::kInvalidArgument, {kQProj});
}

TEST_F(ModelFolderTest, IntegerTensor) {
  EditHeader([](nlohmann::json& header) { header[kQProj]["dtype"] = "I32"; });
  ExpectLoadError(absl::StatusCode::kUnimplemented, {kQProj, "I32"});
}

TEST_F(ModelFolderTest, UnknownDtype) {
  EditHeader([](nlohmann::json& header) { header[kQProj]["dtype"] = "F3"; });
  ExpectLoadError(absl::StatusCode::kInvalidArgument, {kQProj, "F3"});
}

TEST_F(ModelFolderTest, OverlappingTensors) {
  EditHeader([](nlohmann::json& header) {
    header[kQProj]["data_offsets"] =
        header["model.layers.0.self_attn.q_proj.weight"]["data_offsets"];
  });
  ExpectLoadError(absl::StatusCode::kInvalidArgument, {kQProj, "overlap"});
}

TEST_F(ModelFolderTest, OffsetsOutOfOrderOrNegative) {
  EditHeader([](nlohmann::json& header) { header[kQProj]["data_offsets"] = {100, 50}; });
  ExpectLoadError(absl::StatusCode::kInvalidArgument, {kQProj, "data_offsets"});
  Use("llama-gqa");
  EditHeader([](nlohmann::json& header) { header[kQProj]["data_offsets"] = {-4, 50}; });
  ExpectLoadError(absl::StatusCode::kInvalidArgument, {kQProj, "data_offsets"});
}

TEST_F(ModelFolderTest, MissingShard) {
  Use("llama-mqa-sharded");
  fs::remove(folder_ / "model-00003-of-00005.safetensors");
  ExpectLoadError(absl::StatusCode::kNotFound, {"model-00003-of-00005.safetensors"});
}

TEST_F(ModelFolderTest, IndexThatPlacesATensorInTheWrongShard) {
  Use("llama-mqa-sharded");
  auto index = nlohmann::json::parse(ReadAll(folder_ / "model.safetensors.index.json"));
  const std::string other = index["weight_map"]["model.norm.weight"];
  index["weight_map"]["model.embed_tokens.weight"] =
      other == "model-00001-of-00005.safetensors" ? "model-00002-of-00005.safetensors" : other;
  Write("model.safetensors.index.json", index.dump());
  ExpectLoadError(absl::StatusCode::kInvalidArgument,
                  {"index.json", "model.embed_tokens.weight", "does not hold it"});
}

TEST_F(ModelFolderTest, IndexThatLeavesTheFolder) {
  Use("llama-mqa-sharded");
  Write("model.safetensors.index.json", R"({"weight_map": {"x": "../../secret.safetensors"}})");
  ExpectLoadError(absl::StatusCode::kInvalidArgument, {"index.json", "same folder"});
}

TEST_F(ModelFolderTest, UnalignedDataIsRead) {
  const auto aligned = LoadDecoder(SmallSettings(folder_.string(), Precision::kF32));
  Line expected = MakeLine({5, 6, 7}, 0);
  RunAlone(*aligned, expected, {3});
  const std::string file = ReadAll(folder_ / "model.safetensors");
  uint64_t length = 0;
  std::memcpy(&length, file.data(), 8);
  std::string header = file.substr(8, length);
  while (header.size() % 2 == 0) header += ' ';
  Write("model.safetensors", Safetensors(header, file.substr(8 + length)));
  const auto unaligned = LoadDecoder(SmallSettings(folder_.string(), Precision::kF32));
  Line line = MakeLine({5, 6, 7}, 0);
  RunAlone(*unaligned, line, {3});
  EXPECT_EQ(line.logits, expected.logits);
}

TEST_F(ModelFolderTest, TooSmallAKvCacheNamesTheNumbers) {
  RuntimeSettings settings = SmallSettings(folder_.string(), Precision::kF32);
  settings.kv_cache_bytes = 1000;
  const auto decoder = Decoder::Load(settings);
  EXPECT_EQ(decoder.status().code(), absl::StatusCode::kInvalidArgument);
  // 2 layers of 2 heads of 16 tokens of 4 bytes: keys of 8 elements, values padded to 16.
  EXPECT_THAT(std::string(decoder.status().message()),
              testing::AllOf(HasSubstr("1000 bytes"), HasSubstr("6144 bytes")));
}

TEST_F(ModelFolderTest, AKvCacheBeyondTheMemoryIsRefusedBeforeItIsMade) {
  RuntimeSettings settings = SmallSettings(folder_.string(), Precision::kF32);
  settings.kv_cache_bytes = int64_t{9'000'000'000'000'000'000};
  const auto decoder = Decoder::Load(settings);
  EXPECT_EQ(decoder.status().code(), absl::StatusCode::kInvalidArgument);
  EXPECT_THAT(std::string(decoder.status().message()),
              testing::AllOf(HasSubstr("kv_cache_bytes"), HasSubstr("bytes of memory are left")));
}

TEST_F(ModelFolderTest, MemoryPromisedToOtherModelsIsNotThere) {
  RuntimeSettings settings = SmallSettings(folder_.string(), Precision::kF32);
  settings.shared_memory.promised_bytes = int64_t{1} << 60;
  EXPECT_THAT(std::string(Decoder::Load(settings).status().message()),
              HasSubstr("only 0 bytes of memory are left"));
}

TEST_F(ModelFolderTest, TheKvCacheIsAShareOfWhatWeightsToComeLeave) {
  RuntimeSettings settings = SmallSettings(folder_.string(), Precision::kF32);
  settings.kv_cache_bytes = 0;
  settings.shared_memory.kv_shares = 1 << 30;  // So that none holds a block.
  EXPECT_THAT(std::string(Decoder::Load(settings).status().message()), HasSubstr("holds no block"));
  settings.shared_memory.kv_shares = 2;
  EXPECT_TRUE(Decoder::Load(settings).ok());
  settings.shared_memory.expected_bytes = int64_t{1} << 60;
  EXPECT_THAT(std::string(Decoder::Load(settings).status().message()),
              HasSubstr("the KV cache of 0 bytes holds no block"));
}

TEST_F(ModelFolderTest, InfoAndProgress) {
  RuntimeSettings settings = SmallSettings(folder_.string(), Precision::kAuto);
  std::vector<double> fractions;
  settings.progress = [&](std::string_view stage, double fraction) {
    EXPECT_FALSE(stage.empty());
    EXPECT_GE(fraction, fractions.empty() ? 0.0 : fractions.back());
    fractions.push_back(fraction);
  };
  const auto decoder = LoadDecoder(settings);
  EXPECT_GT(fractions.size(), 2u);
  EXPECT_EQ(fractions.back(), 1.0);
  const ModelInfo& info = decoder->info();
  EXPECT_EQ(info.architecture, "LlamaForCausalLM");
  EXPECT_EQ(info.name, folder_.filename().string());
  EXPECT_EQ(info.precision, ChoosePrecision(Precision::kAuto).precision);
  EXPECT_EQ(info.precision_reason, ChoosePrecision(Precision::kAuto).reason);
  EXPECT_EQ(info.kv_precision, KvPrecision::kBf16);
  EXPECT_EQ(info.parameters, 50016);
  EXPECT_EQ(info.vocabulary_size, 301);
  EXPECT_EQ(info.max_context_tokens, 256);
  EXPECT_EQ(info.threads, 2);
  EXPECT_EQ(info.kv_cache_bytes, int64_t{info.kv_blocks} * 3072);
  EXPECT_EQ(info.kv_blocks, (16 << 20) / 3072);
  EXPECT_EQ(info.embedding_bytes, 301 * 48 * 4);
  EXPECT_GT(info.weight_bytes, 0);
  EXPECT_GT(info.arena_bytes, 0);
  EXPECT_GT(info.process_bytes, 0);
  EXPECT_GT(info.available_memory_bytes, info.kv_cache_bytes);
  EXPECT_FALSE(info.cpu.empty());
}

}  // namespace
}  // namespace hocket
