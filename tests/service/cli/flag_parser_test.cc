#include "service/cli/flag_parser.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cstdio>
#include <cstdlib>
#include <fstream>
#include <string>
#include <vector>

#include "CLI/CLI.hpp"
#include "absl/strings/str_split.h"
#include "service/cli/flag_checks.h"
#include "service/cli/settings_list.h"

namespace hocket {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;

// A command's flags, parsed once.
struct Toy {
  Toy() {
    PrepareFlags(app);
    app.set_config("--config")->configurable(false);
    app.get_help_ptr()->configurable(false);
    app.add_option("--size", size)
        ->check(WholeNumber(1, 9))
        ->envname("HOCKET_SIZE")
        ->capture_default_str()
        ->group("One");
    app.add_option("--pace", pace)->envname("HOCKET_PACE")->capture_default_str()->group("One");
    app.add_option("--model", models)
        ->multi_option_policy(CLI::MultiOptionPolicy::TakeAll)
        ->allow_extra_args(false)
        ->envname("HOCKET_MODEL")
        ->group("Two");
    app.add_option("--names", names)->delimiter(',')->capture_default_str()->group("Two");
    app.add_option("--title", title)->envname("HOCKET_TITLE")->group("Two");
    app.add_flag("--cache,!--no-cache", cache)->default_str("true")->group("Two");
  }

  std::vector<Setting> Parse(const std::vector<std::string>& words) {
    const absl::StatusOr<ParsedFlags> parsed = ParseFlags(app, words);
    EXPECT_TRUE(parsed.ok()) << parsed.status();
    return parsed.ok() ? SettingsOf(app, *parsed) : std::vector<Setting>();
  }

  CLI::App app;
  int32_t size = 1;
  double pace = 0.5;
  std::vector<std::string> models;
  std::vector<std::string> names = {"x", "y"};
  std::string title;
  bool cache = true;
};

class FlagParserTest : public testing::Test {
 protected:
  ~FlagParserTest() override {
    unsetenv("HOCKET_MODEL");
    unsetenv("HOCKET_PACE");
    std::remove(config_.c_str());
  }

  const std::string config_ = testing::TempDir() + "/flags.toml";
};

TEST_F(FlagParserTest, EachSettingHasItsValueAndWhereItCameFrom) {
  std::ofstream(config_) << "size = 7\npace = 2.5\n";
  setenv("HOCKET_PACE", "3.5", 1);
  const std::string text = ConfigFileText(
      Toy().Parse({"--config", config_, "--no-cache", "--model", "a", "--model", "b=\"c\""}));
  EXPECT_EQ(text,
            "# The settings of hocket serve in effect. --config reads this file.\n"
            "\n# One\n"
            "\n# config file\nsize = 7\n"
            "\n# environment, HOCKET_PACE\npace = 3.5\n"
            "\n# Two\n"
            "\n# command line\nmodel = [\"a\", \"b=\\\"c\\\"\"]\n"
            "\n# default\nnames = [\"x\", \"y\"]\n"
            "\n# not set\n# title =\n"
            "\n# command line\ncache = false\n");
}

TEST_F(FlagParserTest, TheTextOfTheSettingsIsAFileThatSaysTheSame) {
  const std::vector<Setting> first = Toy().Parse(
      {"--no-cache", "--model", "a=x,threads=1", "--model", "b=\"c'd", "--title", "12"});
  std::ofstream(config_) << ConfigFileText(first);
  Toy again;
  const std::vector<Setting> second = again.Parse({"--config", config_});
  EXPECT_THAT(ChangedSettings(first, second), IsEmpty());
  EXPECT_THAT(again.models, ElementsAre("a=x,threads=1", "b=\"c'd"));
  EXPECT_FALSE(again.cache);
  EXPECT_EQ(again.title, "12");
}

TEST_F(FlagParserTest, ChangedSettingsAreThoseWhoseValuesDiffer) {
  const std::vector<Setting> before = Toy().Parse({"--size", "1"});  // As by default.
  EXPECT_THAT(ChangedSettings(before, Toy().Parse({})), IsEmpty());
  EXPECT_THAT(ChangedSettings(before, Toy().Parse({"--size", "2", "--model", "a", "--no-cache"})),
              ElementsAre("size", "model", "cache"));
}

TEST_F(FlagParserTest, AVariableHoldsSeveralValuesWhereAFlagTakesThem) {
  setenv("HOCKET_MODEL", "a=x;b=y z", 1);
  Toy toy;
  toy.Parse({});
  EXPECT_THAT(toy.models, ElementsAre("a=x", "b=y z"));
  Toy given;
  given.Parse({"--model", "c"});
  EXPECT_THAT(given.models, ElementsAre("c"));
}

TEST_F(FlagParserTest, AWrongValueOfTheFileIsSaidToBeThere) {
  std::ofstream(config_) << "size = \"big\"\n";
  Toy toy;
  const std::vector<std::string> words = {"--config", config_};
  EXPECT_THAT(std::string(ParseFlags(toy.app, words).status().message()),
              testing::EndsWith("(set in the file of --config)"));
}

TEST(HelpText, SwitchesShowNoValueAndLongTextIsBroken) {
  CLI::App app;
  PrepareFlags(app);
  bool cache = true;
  app.add_flag("--cache,!--no-cache", cache, "Keep blocks")->default_str("true");
  std::string title;
  const std::string sentence =
      "word word word word word word word word word word word word word word";
  app.add_option("--title", title, sentence + " " + sentence)->envname("HOCKET_TITLE");
  EXPECT_THAT(app.help(), HasSubstr("  --cache,--no-cache              Keep blocks\n"));
  EXPECT_THAT(app.help(), HasSubstr("  --title TEXT (Env:HOCKET_TITLE) word"));
  for (const absl::string_view line : absl::StrSplit(app.help(), '\n')) {
    EXPECT_LE(line.size(), 120u) << line;
  }
}

TEST_F(FlagParserTest, VariablesThatAreNoSettingAreNamedWithTheNearest) {
  Toy toy;
  EXPECT_THAT(
      UnknownVariables(toy.app,
                       std::vector<std::string>{"HOCKET_PAEC=1", "HOCKET_PACE=1",
                                                "HOCKET_ZZZZZZZZZ=", "HOCKETS=1", "PATH=/bin",
                                                "HOCKET_BUILD_DIR=x"},
                       std::vector<std::string>{"HOCKET_BUILD_DIR"}),
      ElementsAre("HOCKET_PAEC is in the environment and is no setting; did you mean HOCKET_PACE",
                  "HOCKET_ZZZZZZZZZ is in the environment and is no setting"));
}

}  // namespace
}  // namespace hocket
