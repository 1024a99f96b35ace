#include "service/cli/serve_flags.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <spdlog/sinks/ostream_sink.h>
#include <spdlog/spdlog.h>

#include <cstdio>
#include <fstream>
#include <sstream>

#include "CLI/CLI.hpp"
#include "service/cli/config_reload.h"
#include "service/cli/log_setup.h"
#include "service/cli/settings_list.h"

namespace hocket {
namespace {

using ::testing::HasSubstr;
using ::testing::Not;

struct Served {
  absl::Status Parse(const std::vector<std::string>& words) {
    PrepareFlags(app);
    flags.Add(app);
    const absl::StatusOr<ParsedFlags> parsed = ParseFlags(app, words);
    if (!parsed.ok()) return parsed.status();
    settings = SettingsOf(app, *parsed);
    return flags.Check();
  }

  CLI::App app;
  ServeFlags flags;
  std::vector<Setting> settings;
};

std::string Problem(const std::vector<std::string>& words) {
  return std::string(Served().Parse(words).message());
}

TEST(ServeFlags, OneModelIsAFolderAndMayHaveAName) {
  Served none;
  ASSERT_TRUE(none.Parse({}).ok());
  ASSERT_EQ(none.flags.models.size(), 1u);
  EXPECT_EQ(none.flags.models[0].dir, "");
  Served named;
  ASSERT_TRUE(named.Parse({"--model", "x", "--model-name", "y", "--trace-plans", "t"}).ok());
  EXPECT_EQ(named.flags.models[0].dir, "x");
  EXPECT_EQ(named.flags.models[0].name, "y");
  EXPECT_EQ(named.flags.hosting.trace_plans, "t");
}

TEST(ServeFlags, SeveralModelsHaveNamesAndFilesOfTheirOwn) {
  Served two;
  ASSERT_TRUE(two.Parse({"--model", "a=x", "-m", "b=y,threads=2"}).ok());
  ASSERT_EQ(two.flags.models.size(), 2u);
  EXPECT_EQ(two.flags.models[1].threads, 2);
  EXPECT_THAT(Problem({"--model", "a=x", "--model", "y"}), HasSubstr("each needs a name: NAME=y"));
  EXPECT_THAT(Problem({"--model", "a=x", "--model", "a=y"}), HasSubstr("two models are called"));
  EXPECT_THAT(Problem({"--model", "a=x", "--model-name", "b"}), HasSubstr("--model-name: "));
  EXPECT_THAT(Problem({"--model", "a=x", "--model", "b=y", "--trace-plans", "t"}),
              HasSubstr("NAME=DIR,trace-plans=FILE"));
  EXPECT_THAT(Problem({"--model", "a=x,thread=2"}), HasSubstr("did you mean \"threads\""));
}

TEST(ServeFlags, EverySettingHasAGroupAndAVariable) {
  Served served;
  ASSERT_TRUE(served.Parse({}).ok());
  EXPECT_GT(served.settings.size(), 30u);
  for (const Setting& setting : served.settings) {
    EXPECT_NE(setting.group, "Options") << setting.name;
    EXPECT_THAT(setting.variable, testing::StartsWith("HOCKET_")) << setting.name;
  }
}

class ConfigReloadTest : public testing::Test {
 protected:
  ConfigReloadTest() {
    SetUpLog(std::make_shared<spdlog::sinks::ostream_sink_mt>(log_), "info", false);
  }
  ~ConfigReloadTest() override {
    spdlog::set_default_logger(std::make_shared<spdlog::logger>("none"));
    std::remove(config_.c_str());
  }

  ConfigReload Started(const std::string& text) {
    std::ofstream(config_) << text;
    Served served;
    EXPECT_TRUE(served.Parse(words_).ok());
    return {words_, served.settings};
  }

  std::string TakeLog() {
    std::string text = log_.str();
    log_.str("");
    return text;
  }

  const std::string config_ = testing::TempDir() + "/serve.toml";
  const std::vector<std::string> words_ = {"--config", config_, "--max-waiting-tokens", "77"};
  std::ostringstream log_;
};

TEST_F(ConfigReloadTest, TakesOverWhatCanChangeAndNamesWhatCannot) {
  ConfigReload reload = Started("drain-seconds = 5\nthreads = 1\n");
  std::ofstream(config_) << "drain-seconds = 6\nthreads = 2\nmax-waiting-tokens = 8\n";
  const absl::StatusOr<LiveSettings> live = reload.Reload();
  ASSERT_TRUE(live.ok()) << live.status();
  EXPECT_EQ(live->drain, absl::Seconds(6));
  EXPECT_EQ(live->admission.max_waiting_tokens, 77);  // The command line still comes first.
  std::string log = TakeLog();
  EXPECT_THAT(log, HasSubstr("info reload outcome=ok changed=drain-seconds\n"));
  EXPECT_THAT(log, HasSubstr("warning restart_needed for=threads\n"));
  // The second time nothing has changed but what still needs the restart.
  ASSERT_TRUE(reload.Reload().ok());
  log = TakeLog();
  EXPECT_THAT(log, HasSubstr("reload outcome=ok changed=\"\"\n"));
  EXPECT_THAT(log, HasSubstr("restart_needed for=threads\n"));
}

TEST_F(ConfigReloadTest, AWrongFileChangesNothing) {
  ConfigReload reload = Started("drain-seconds = 5\n");
  std::ofstream(config_) << "drain-seconds = 6\nlog-level = \"error\"\nsise = 2\n";
  EXPECT_FALSE(reload.Reload().ok());
  EXPECT_THAT(TakeLog(), HasSubstr("error reload outcome=error error=\"--config: line 3: "));
  std::ofstream(config_) << "drain-seconds = 6\n";
  EXPECT_EQ(reload.Reload()->drain, absl::Seconds(6));
  EXPECT_THAT(TakeLog(), HasSubstr("changed=drain-seconds"));  // Info is still logged.
}

TEST_F(ConfigReloadTest, TheLogsLevelAndFormatChange) {
  ConfigReload reload = Started("");
  std::ofstream(config_) << "log-format = \"json\"\n";
  ASSERT_TRUE(reload.Reload().ok());
  EXPECT_THAT(TakeLog(), HasSubstr("\"event\":\"reload\",\"outcome\":\"ok\",\"changed\":"));
  std::ofstream(config_) << "log-level = \"error\"\n";
  ASSERT_TRUE(reload.Reload().ok());
  EXPECT_THAT(TakeLog(), Not(HasSubstr("reload")));
}

}  // namespace
}  // namespace hocket
