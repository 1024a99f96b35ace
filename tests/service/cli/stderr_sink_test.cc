#include "service/cli/stderr_sink.h"

#include <fcntl.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <spdlog/spdlog.h>
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <csignal>
#include <memory>
#include <string>

#include "service/cli/log_setup.h"

namespace hocket {
namespace {

using std::chrono::milliseconds;
using std::chrono::steady_clock;
using ::testing::HasSubstr;
using ::testing::MatchesRegex;

constexpr absl::Duration kPatience = absl::Milliseconds(100);

class StderrSinkTest : public testing::Test {
 protected:
  StderrSinkTest() {
    EXPECT_EQ(pipe2(ends_, O_CLOEXEC), 0);
    fcntl(ends_[0], F_SETFL, O_NONBLOCK);
    SetUpLog(std::make_shared<StderrSink>(ends_[1], kPatience), "info", false);
  }
  ~StderrSinkTest() override {
    spdlog::set_default_logger(std::make_shared<spdlog::logger>("none"));
    close(ends_[0]);
    close(ends_[1]);
  }

  // All that is in the pipe.
  std::string Read() {
    std::string all;
    char some[4096];
    for (ssize_t got; (got = read(ends_[0], some, sizeof(some))) > 0;) all.append(some, got);
    return all;
  }

  int ends_[2];
};

TEST_F(StderrSinkTest, WritesLinesAsTheyCome) {
  spdlog::info("one");
  spdlog::info("{}", std::string(20'000, 'x'));
  const std::string log = Read();
  EXPECT_THAT(log, HasSubstr(" info one\n"));
  EXPECT_THAT(log, HasSubstr(std::string(20'000, 'x') + "\n"));
}

TEST_F(StderrSinkTest, AReaderThatStopsHoldsNobodyUpForLongAndIsToldWhatIsLost) {
  const auto begin = steady_clock::now();
  constexpr int kLines = 3000;  // Of more bytes together than a pipe holds.
  for (int i = 0; i < kLines; ++i) spdlog::info("line {} {}", i, std::string(90, 'x'));
  EXPECT_LT(steady_clock::now() - begin, milliseconds(2000));
  const std::string before = Read();
  const auto written = std::count(before.begin(), before.end(), '\n');
  EXPECT_GT(written, 0);
  EXPECT_LT(written, kLines);

  spdlog::info("on");
  EXPECT_THAT(Read(), MatchesRegex("\n?[^\n]* warning log_lines_lost lines=" +
                                   std::to_string(kLines - written) + "\n[^\n]* info on\n"));
}

TEST_F(StderrSinkTest, AReaderThatIsGoneIsNobodysTrouble) {
  signal(SIGPIPE, SIG_IGN);
  close(ends_[0]);
  for (int i = 0; i < 100; ++i) spdlog::info("line {}", i);
  ends_[0] = open("/dev/null", O_RDONLY | O_CLOEXEC);
}

}  // namespace
}  // namespace hocket
