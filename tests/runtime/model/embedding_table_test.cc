// Embeddings read from the file against the same rows read from its map.
#include "runtime/model/embedding_table.h"

#include <unistd.h>

#include <cstring>
#include <filesystem>
#include <fstream>
#include <random>

#include "gtest/gtest.h"
#include "nlohmann/json.hpp"
#include "runtime/kernels/bf16.h"
#include "tests/runtime/model/decoder_harness.h"

namespace hocket {
namespace {

namespace fs = std::filesystem;

constexpr char kName[] = "model.embed_tokens.weight";

class EmbeddingTableTest : public testing::Test {
 protected:
  void SetUp() override {
    folder_ = fs::temp_directory_path() / ("hocket-embedding-" + std::to_string(getpid()));
    fs::remove_all(folder_);
    fs::create_directories(folder_);
  }
  void TearDown() override { fs::remove_all(folder_); }

  fs::path File() const { return folder_ / "model.safetensors"; }

  // Random bits of finite numbers, at an odd place in the file.
  void Write(const std::string& type, int64_t vocabulary, int64_t hidden) const {
    const int64_t element_bytes = type == "F32" ? 4 : 2;
    const int64_t size = vocabulary * hidden * element_bytes;
    nlohmann::json header;
    header["a"] = {{"dtype", "U8"}, {"shape", {3}}, {"data_offsets", {0, 3}}};
    header[kName] = {
        {"dtype", type}, {"shape", {vocabulary, hidden}}, {"data_offsets", {3, 3 + size}}};
    const std::string text = header.dump();
    const uint64_t length = text.size();
    std::string data(3 + size, '\0');
    std::mt19937 random(1);
    for (char& byte : data) byte = static_cast<char>(random() & 0xbb);  // No exponent of ones.
    std::ofstream(File(), std::ios::binary)
        .write(reinterpret_cast<const char*>(&length), sizeof(length))
        .write(text.data(), static_cast<std::streamsize>(length))
        .write(data.data(), static_cast<std::streamsize>(data.size()));
  }

  fs::path folder_;
};

TEST_F(EmbeddingTableTest, RowsAreTheCheckpointsInAnyTypeAndWidth) {
  const int64_t vocabulary = 7;
  for (const char* type : {"F32", "BF16", "F16"}) {
    for (const int64_t hidden : {1, 64, 576, 4096, 10000}) {
      Write(type, vocabulary, hidden);
      const auto checkpoint = Checkpoint::Open(folder_.string());
      ASSERT_TRUE(checkpoint.ok()) << checkpoint.status();
      const TensorView view = *checkpoint->Find(kName, {vocabulary, hidden});
      const auto table = EmbeddingTable::Open(*checkpoint, kName, vocabulary, hidden, false);
      const auto rounded = EmbeddingTable::Open(*checkpoint, kName, vocabulary, hidden, true);
      ASSERT_TRUE(table.ok() && rounded.ok());
      EXPECT_EQ(table->elements(), vocabulary * hidden);
      EXPECT_EQ(table->bytes(), static_cast<int64_t>(view.bytes.size()));
      std::vector<float> expected(hidden), row(hidden);
      for (int64_t token = 0; token < vocabulary; ++token) {
        ConvertElements(view, token * hidden, hidden, expected.data());
        ASSERT_TRUE(table->Read(token, row.data()).ok());
        EXPECT_EQ(row, expected) << type << " " << hidden << " token " << token;
        for (float& value : expected) value = ToF32(ToBf16(value));
        ASSERT_TRUE(rounded->Read(token, row.data()).ok());
        EXPECT_EQ(row, expected) << type << " " << hidden << " token " << token << " rounded";
      }
    }
  }
}

TEST_F(EmbeddingTableTest, IsFoundInItsShard) {
  const auto checkpoint = Checkpoint::Open(FixtureFolder("llama-mqa-sharded"));
  ASSERT_TRUE(checkpoint.ok()) << checkpoint.status();
  const SafetensorsFile* shard = nullptr;
  for (const SafetensorsFile& file : checkpoint->files()) {
    if (file.Find(kName) != nullptr) shard = &file;
  }
  ASSERT_NE(shard, nullptr);
  const TensorView& view = *shard->Find(kName);
  const auto table = EmbeddingTable::Open(*checkpoint, kName, view.shape[0], view.shape[1], false);
  ASSERT_TRUE(table.ok()) << table.status();
  std::vector<float> expected(view.shape[1]), row(view.shape[1]);
  ConvertElements(view, 5 * view.shape[1], view.shape[1], expected.data());
  ASSERT_TRUE(table->Read(5, row.data()).ok());
  EXPECT_EQ(row, expected);
}

TEST_F(EmbeddingTableTest, AFileCutShortUnderneathIsAnErrorNotACrash) {
  Write("BF16", 100, 1000);
  const auto checkpoint = Checkpoint::Open(folder_.string());
  const auto table = EmbeddingTable::Open(*checkpoint, kName, 100, 1000, false);
  ASSERT_TRUE(table.ok());
  fs::resize_file(File(), fs::file_size(File()) / 2);
  std::vector<float> row(1000);
  EXPECT_TRUE(table->Read(0, row.data()).ok());
  EXPECT_EQ(table->Read(99, row.data()).code(), absl::StatusCode::kDataLoss);
}

TEST_F(EmbeddingTableTest, AnotherShapeIsRefused) {
  Write("F32", 10, 8);
  const auto checkpoint = Checkpoint::Open(folder_.string());
  EXPECT_EQ(EmbeddingTable::Open(*checkpoint, kName, 8, 10, false).status().code(),
            absl::StatusCode::kInvalidArgument);
  EXPECT_EQ(EmbeddingTable::Open(*checkpoint, "no.such", 8, 10, false).status().code(),
            absl::StatusCode::kNotFound);
}

}  // namespace
}  // namespace hocket
