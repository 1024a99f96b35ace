#include "service/cli/log_setup.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <spdlog/sinks/ostream_sink.h>
#include <spdlog/spdlog.h>

#include <nlohmann/json.hpp>
#include <sstream>

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
  EXPECT_EQ(line["event"], "said \"no\"\n\ufffd");
  EXPECT_EQ(line["level"], "info");
  EXPECT_TRUE(line.contains("time"));
}

TEST(SetUpLog, TextLinesEndWithTheMessage) {
  EXPECT_THAT(Logged("info", false, "ready"), EndsWith(" info ready\n"));
}

TEST(SetUpLog, WhatIsBelowTheLevelIsNotWritten) {
  EXPECT_EQ(Logged("warning", false, "ready"), "");
}

}  // namespace
}  // namespace hocket
