#include "service/cli/config_file.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <sstream>

#include "service/cli/flag_parser.h"

namespace hocket {
namespace {

using ::testing::ElementsAre;

class TomlConfigTest : public testing::Test {
 protected:
  TomlConfigTest() {
    PrepareFlags(app_);
    app_.add_option("--size", size_);
    app_.add_option("--model", models_)
        ->multi_option_policy(CLI::MultiOptionPolicy::TakeAll)
        ->allow_extra_args(false);
    app_.add_flag("--only-words")->configurable(false);
  }

  std::vector<CLI::ConfigItem> Read(const std::string& text) {
    std::istringstream input(text);
    return TomlConfig(&app_).from_config(input);
  }

  std::string Problem(const std::string& text) {
    try {
      Read(text);
    } catch (const CLI::ConfigError& error) {
      return error.what();
    }
    return "none";
  }

  CLI::App app_;
  std::string size_;
  std::vector<std::string> models_;
};

TEST_F(TomlConfigTest, ValuesAreWhatFlagsWouldCarry) {
  const auto value = [this](const std::string& text) {
    return Read("size = " + text).at(0).inputs.at(0);
  };
  EXPECT_EQ(value("12"), "12");
  EXPECT_EQ(value("0.5"), "0.5");
  EXPECT_EQ(value("true"), "true");
  EXPECT_EQ(value("\"a # b\" # not c"), "a # b");
  EXPECT_EQ(value("'C:\\x'"), "C:\\x");
}

TEST_F(TomlConfigTest, AnArrayIsAFlagGivenSeveralTimes) {
  EXPECT_THAT(Read("model = [\n  \"a=x,threads=1\", # one\n  \"b=y z\",\n]").at(0).inputs,
              ElementsAre("a=x,threads=1", "b=y z"));
}

TEST_F(TomlConfigTest, WhatIsWrongHasItsLine) {
  EXPECT_EQ(Problem("\nsise = 2"),
            "--config: line 2: there is no setting \"sise\"; did you mean \"size\"");
  EXPECT_EQ(Problem("only-words = true"), "--config: line 1: there is no setting \"only-words\"");
  EXPECT_EQ(Problem("[size]\na = 1"), "--config: line 1: \"size\" cannot be a table or a date");
  EXPECT_EQ(Problem("size = [1, 2]"), "--config: line 1: \"size\" takes one value");
  EXPECT_EQ(Problem("model = []"), "--config: line 1: \"model\" takes one value");
  EXPECT_THAT(Problem("size = 1\nsize = 2"), testing::StartsWith("--config: line 2: "));
  EXPECT_THAT(Problem("size = int8"), testing::StartsWith("--config: line 1: "));
}

TEST_F(TomlConfigTest, WhatTomlValueWritesIsReadBack) {
  for (const std::string value : {"12", "0.5", "-3", "true", "int8", "1e999", "", "007", "0x10",
                                  "a \"b\" 'c' \\ # d", "line\nbreak", "1.", ".5", "inf"}) {
    EXPECT_EQ(Read("size = " + TomlValue(value)).at(0).inputs.at(0), value) << TomlValue(value);
  }
  EXPECT_EQ(TomlValue("12"), "12");
  EXPECT_EQ(TomlValue("0.5"), "0.5");
}

}  // namespace
}  // namespace hocket
