#include "service/cli/model_flags.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <filesystem>
#include <fstream>

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

}  // namespace
}  // namespace hocket
