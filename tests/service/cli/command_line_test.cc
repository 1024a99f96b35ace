#include "service/cli/command_line.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cstdio>
#include <cstdlib>
#include <fstream>

#include "CLI/CLI.hpp"
#include "service/cli/flag_checks.h"

namespace hocket {
namespace {

using ::testing::HasSubstr;

struct ToyFlags {
  int32_t size = 1;
  std::vector<std::string> stops;
};

// "toy" and "box toy": a command that keeps what its flags were.
class ToyCommand final : public Command {
 public:
  ToyCommand(absl::string_view name, ToyFlags* flags, bool* ran)
      : name_(name), flags_(flags), ran_(ran) {}
  absl::string_view name() const override { return name_; }
  absl::string_view summary() const override { return "A toy"; }
  void AddFlags(CLI::App& app) override {
    app.set_config("--config");
    app.add_option("--size", flags_->size)->check(WholeNumber(1, 9))->envname("HOCKET_TOY_SIZE");
    app.add_option("--stop", flags_->stops)
        ->multi_option_policy(CLI::MultiOptionPolicy::TakeAll)
        ->allow_extra_args(false);
  }
  absl::StatusOr<int> Run() override {
    *ran_ = true;
    if (flags_->size == 9) return absl::InternalError("nine breaks\nit");
    return 0;
  }

 private:
  std::string name_;
  ToyFlags* flags_;
  bool* ran_;
};

class CommandLineTest : public ::testing::Test {
 protected:
  ~CommandLineTest() override {
    unsetenv("HOCKET_TOY_SIZE");
    std::remove(config_.c_str());
  }

  int Run(const std::vector<std::string>& arguments) {
    std::vector<std::unique_ptr<Command>> commands;
    commands.push_back(std::make_unique<ToyCommand>("toy", &flags_, &ran_));
    commands.push_back(std::make_unique<ToyCommand>("box toy", &box_flags_, &ran_));
    ::testing::internal::CaptureStderr();
    const int status = RunCommandLine(commands, arguments);
    error_ = ::testing::internal::GetCapturedStderr();
    return status;
  }

  void WriteConfig(const std::string& text) { std::ofstream(config_) << text; }

  const std::string config_ = ::testing::TempDir() + "/toy.toml";
  ToyFlags flags_;
  ToyFlags box_flags_;
  bool ran_ = false;
  std::string error_;
};

TEST_F(CommandLineTest, RunsTheNamedCommandWithItsFlags) {
  EXPECT_EQ(Run({"toy", "--size", "3"}), 0);
  EXPECT_EQ(flags_.size, 3);
  EXPECT_EQ(Run({"box", "toy", "--size=4"}), 0);
  EXPECT_EQ(box_flags_.size, 4);
}

TEST_F(CommandLineTest, ARepeatedFlagTakesOneValueEachTimeAndTheLastOfASingle) {
  EXPECT_EQ(Run({"toy", "--stop", "[a]", "--stop", "-b,c", "--size", "2", "--size", "5"}), 0);
  EXPECT_THAT(flags_.stops, ::testing::ElementsAre("[a]", "-b,c"));
  EXPECT_EQ(flags_.size, 5);
}

TEST_F(CommandLineTest, FlagsWinOverTheEnvironmentAndThatOverTheConfigFile) {
  WriteConfig("size = 2\n");
  EXPECT_EQ(Run({"toy", "--config", config_}), 0);
  EXPECT_EQ(flags_.size, 2);
  setenv("HOCKET_TOY_SIZE", "3", 1);
  EXPECT_EQ(Run({"toy", "--config", config_}), 0);
  EXPECT_EQ(flags_.size, 3);
  EXPECT_EQ(Run({"toy", "--config", config_, "--size", "4"}), 0);
  EXPECT_EQ(flags_.size, 4);
}

TEST_F(CommandLineTest, AConfigFileMayNotHoldUnknownSettings) {
  WriteConfig("sise = 2\n");
  EXPECT_EQ(Run({"toy", "--config", config_}), kExitUsage);
  EXPECT_THAT(error_,
              HasSubstr("--config: line 1: there is no setting \"sise\"; did you mean \"size\""));
}

TEST_F(CommandLineTest, AMissingConfigFileIsNamed) {
  EXPECT_EQ(Run({"toy", "--config", "/no/such.toml"}), kExitUsage);
  EXPECT_THAT(error_, HasSubstr("/no/such.toml"));
}

TEST_F(CommandLineTest, AWrongValueNamesFlagValueRangeAndWhereItCameFrom) {
  EXPECT_EQ(Run({"toy", "--size", "12"}), kExitUsage);
  EXPECT_EQ(
      error_,
      "hocket: --size: 12 is out of range; allowed is from 1 to 9; see \"hocket toy --help\"\n");
  setenv("HOCKET_TOY_SIZE", "x", 1);
  EXPECT_EQ(Run({"toy"}), kExitUsage);
  EXPECT_THAT(error_, HasSubstr("\"x\" is not a whole number"));
  EXPECT_THAT(error_, HasSubstr("(set by HOCKET_TOY_SIZE)"));
  EXPECT_FALSE(ran_);
}

TEST_F(CommandLineTest, AnUnknownFlagIsNamedWithTheOneThatWasMeant) {
  EXPECT_EQ(Run({"toy", "--sizze", "2"}), kExitUsage);
  EXPECT_THAT(error_, HasSubstr("there is no flag --sizze; did you mean --size"));
}

TEST_F(CommandLineTest, AnUnknownCommandIsNamedWithTheOneThatWasMeant) {
  EXPECT_EQ(Run({"tyo"}), kExitUsage);
  EXPECT_THAT(error_, HasSubstr("there is no command \"tyo\"; did you mean \"toy\""));
  EXPECT_EQ(Run({"box"}), kExitUsage);
  EXPECT_THAT(error_, HasSubstr("\"box\" needs one of toy"));
}

TEST_F(CommandLineTest, AFailureIsOneLineAndExitStatusOne) {
  EXPECT_EQ(Run({"toy", "--size", "9"}), kExitFailure);
  EXPECT_EQ(error_, "hocket: nine breaks it\n");
}

}  // namespace
}  // namespace hocket
