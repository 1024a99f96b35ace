#include "service/cli/log_setup.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <spdlog/sinks/ostream_sink.h>
#include <spdlog/spdlog.h>

#include <algorithm>
#include <nlohmann/json.hpp>
#include <sstream>

#include "service/log_event.h"

namespace hocket {
namespace {

using ::testing::EndsWith;

std::string Logged(const std::string& level, bool json, const std::string& message) {
  std::ostringstream lines;
  SetUpLog(std::make_shared<spdlog::sinks::ostream_sink_mt>(lines), level, json);
  spdlog::info("{}", message);
  spdlog::set_default_logger(std::make_shared<spdlog::logger>("none"));
  return lines.str();
}

TEST(SetUpLog, JsonLinesStayJsonWhateverTheMessage) {
  const auto line = nlohmann::json::parse(Logged("info", true, "said \"no\"\n\xff"));
  EXPECT_EQ(line["event"], "message");
  EXPECT_EQ(line["message"], "said \"no\"\n\ufffd");
  EXPECT_EQ(line["level"], "info");
  EXPECT_TRUE(line.contains("time"));
}

TEST(SetUpLog, TextLinesEndWithTheMessage) {
  EXPECT_THAT(Logged("info", false, "ready"), EndsWith(" info ready\n"));
}

TEST(SetUpLog, AnEventsMembersAreTheObjectsOwn) {
  std::ostringstream lines;
  SetUpLog(std::make_shared<spdlog::sinks::ostream_sink_mt>(lines), "info", true);
  LogEvent("request").Text("id", "a\",\"level\":\"x\n\xff").Count("tokens", 3).Write();
  spdlog::set_default_logger(std::make_shared<spdlog::logger>("none"));
  const auto line = nlohmann::json::parse(lines.str());
  EXPECT_EQ(line["event"], "request");
  EXPECT_EQ(line["level"], "info");
  EXPECT_EQ(line["id"], "a\",\"level\":\"x\n\ufffd");
  EXPECT_EQ(line["tokens"], 3);
  EXPECT_EQ(line.size(), 5u);
}

TEST(SetUpLog, ShapeAndLevelChangeWhileItRuns) {
  std::ostringstream lines;
  SetUpLog(std::make_shared<spdlog::sinks::ostream_sink_mt>(lines), "info", true);
  ChangeLog("warning", false);
  LogEvent("start").Write();
  LogEvent("stop").Text("why", "asked to").Write(LogEvent::Level::kWarning);
  spdlog::set_default_logger(std::make_shared<spdlog::logger>("none"));
  EXPECT_THAT(lines.str(), EndsWith(" warning stop why=\"asked to\"\n"));
  EXPECT_EQ(std::ranges::count(lines.str(), '\n'), 1);
}

TEST(SetUpLog, WhatIsBelowTheLevelIsNotWritten) {
  EXPECT_EQ(Logged("warning", false, "ready"), "");
}

}  // namespace
}  // namespace hocket
