#include "service/cli/model_flags.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <filesystem>
#include <fstream>
#include <string>
#include <vector>

#include "CLI/CLI.hpp"

namespace hocket {
namespace {

namespace fs = std::filesystem;
using ::testing::AllOf;
using ::testing::HasSubstr;

class FindModelTest : public ::testing::Test {
 protected:
  FindModelTest() {
    fs::remove_all(root_);
    fs::create_directories(root_ / "cwd");
    fs::current_path(root_ / "cwd");
  }
  ~FindModelTest() override {
    fs::current_path(before_);
    fs::remove_all(root_);
  }

  void MakeModel(const fs::path& folder) const {
    fs::create_directories(root_ / folder);
    std::ofstream(root_ / folder / "config.json") << "{}";
  }

  const fs::path before_ = fs::current_path();
  const fs::path root_ = fs::path(::testing::TempDir()) / "find_model_test";
};

TEST_F(FindModelTest, TakesTheGivenFolder) {
  MakeModel("mine");
  EXPECT_EQ(*FindModel((root_ / "mine").string(), "/nowhere"), (root_ / "mine").string());
}

TEST_F(FindModelTest, SaysWhatTheGivenFolderLacks) {
  fs::create_directories(root_ / "empty");
  const std::string empty = (root_ / "empty").string();
  EXPECT_EQ(
      std::string(FindModel(empty, "/nowhere").status().message()),
      "--model: no config.json in \"" + empty + "\" (give the folder of a Hugging Face model)");
  EXPECT_THAT(std::string(FindModel("/no/such", "/nowhere").status().message()),
              AllOf(HasSubstr("--model"), HasSubstr("no folder \"/no/such\"")));
}

TEST_F(FindModelTest, TheDefaultIsHereThenBesideTheBuildThenWhereItIsInstalled) {
  EXPECT_THAT(std::string(FindModel("", (root_ / "build").string()).status().message()),
              HasSubstr("models/tales"));
  MakeModel("prefix/share/hocket/models/tales");
  EXPECT_EQ(*FindModel("", (root_ / "prefix/bin").string()),
            (root_ / "prefix/share/hocket/models/tales").string());
  MakeModel("models/tales");
  EXPECT_EQ(*FindModel("", (root_ / "build").string()), (root_ / "models/tales").string());
  MakeModel("cwd/models/tales");
  EXPECT_EQ(*FindModel("", (root_ / "build").string()), "models/tales");
}

class ModelFlagsTest : public ::testing::Test {
 protected:
  ModelFlagsTest() { flags_.model_dir = std::string(HOCKET_SOURCE_DIR) + "/models/tales"; }

  // The flags as `arguments` set them, or the error's text.
  std::string Parse(std::vector<std::string> arguments) {
    CLI::App app;
    flags_.Add(app);
    std::reverse(arguments.begin(), arguments.end());
    try {
      app.parse(arguments);
    } catch (const CLI::ParseError& error) {
      return error.what();
    }
    return "";
  }

  ModelFlags flags_;
};

TEST_F(ModelFlagsTest, PrecisionsAndTheWeightCacheReachTheSettings) {
  EXPECT_EQ(Parse({}), "");
  auto settings = flags_.Resolve();
  ASSERT_TRUE(settings.ok()) << settings.status();
  EXPECT_EQ(settings->precision, Precision::kAuto);
  EXPECT_EQ(settings->kv_precision, KvPrecision::kAuto);
  EXPECT_EQ(settings->weight_cache, "auto");

  EXPECT_EQ(
      Parse({"--precision", "int4-g128", "--kv-precision", "int8", "--weight-cache", "/a/folder"}),
      "");
  settings = flags_.Resolve();
  ASSERT_TRUE(settings.ok()) << settings.status();
  EXPECT_EQ(settings->precision, Precision::kInt4G128);
  EXPECT_EQ(settings->kv_precision, KvPrecision::kInt8);
  EXPECT_EQ(settings->weight_cache, "/a/folder");
}

TEST_F(ModelFlagsTest, AnUnknownPrecisionIsToldWhichThereAre) {
  EXPECT_THAT(Parse({"--precision", "fp16"}),
              HasSubstr("--precision: \"fp16\" is none of auto, f32, bf16, int8, int4, int4-g128"));
  EXPECT_THAT(Parse({"--kv-precision", "int4"}),
              HasSubstr("--kv-precision: \"int4\" is none of auto, f32, bf16, int8"));
  EXPECT_THAT(Parse({"--weight-cache", ""}), HasSubstr("--weight-cache"));
}

}  // namespace
}  // namespace hocket
