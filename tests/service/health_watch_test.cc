#include "service/health_watch.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <future>
#include <map>
#include <string>
#include <vector>

namespace hocket {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;
using testing::Pair;
using testing::UnorderedElementsAre;

// Two engines and a clock that the test moves.
class HealthWatchTest : public testing::Test {
 protected:
  HealthWatchTest() {
    for (EngineSigns* signs : {&one_, &two_}) signs->max_waiting_requests = 100;
    watch_.Look();
    reports_.clear();
  }

  // Time passes in small pieces, as the thread sees it.
  void Pass(absl::Duration duration) {
    const absl::Time end = now_ + duration;
    for (; now_ < end; now_ += absl::Milliseconds(500)) watch_.Look();
    watch_.Look();
  }

  std::vector<std::pair<std::string, bool>> TakeReports() { return std::exchange(reports_, {}); }

  absl::Time now_ = absl::UnixEpoch();
  EngineSigns one_, two_;
  std::map<std::string, bool> status_;
  std::vector<std::pair<std::string, bool>> reports_;
  HealthSettings settings_{.stall = absl::Seconds(10), .ready_queue_fraction = 0.8};
  HealthWatch watch_{settings_,
                     {{.name = "one", .signs = [this] { return one_; }},
                      {.name = "two", .signs = [this] { return two_; }}},
                     [this](const std::string& service, bool serving) {
                       status_[service] = serving;
                       reports_.emplace_back(service, serving);
                     },
                     nullptr,
                     [this] { return now_; }};
};

TEST_F(HealthWatchTest, AllServicesAreToldAtFirst) {
  EXPECT_THAT(status_, UnorderedElementsAre(Pair("", true), Pair("live", true), Pair("ready", true),
                                            Pair("hocket.v1.Hocket", true),
                                            Pair("hocket.v1.Hocket/one", true),
                                            Pair("hocket.v1.Hocket/two", true),
                                            Pair("ready/one", true), Pair("ready/two", true)));
  Pass(absl::Seconds(100));
  EXPECT_THAT(reports_, IsEmpty()) << "only changes are told after that";
}

TEST_F(HealthWatchTest, WorkWithoutProgressIsAStall) {
  one_.working = true;
  Pass(absl::Seconds(9));
  EXPECT_TRUE(watch_.Live().ok());
  Pass(absl::Seconds(1));
  EXPECT_THAT(std::string(watch_.Live().message()),
              HasSubstr("model one: no step has ended for 10 seconds"));
  EXPECT_FALSE(watch_.Ready().ok());
  EXPECT_FALSE(status_[""]);
  EXPECT_FALSE(status_["hocket.v1.Hocket"]);
  EXPECT_FALSE(status_["hocket.v1.Hocket/one"]);
  EXPECT_FALSE(status_["ready/one"]);
  EXPECT_TRUE(status_["hocket.v1.Hocket/two"]) << "the other model still serves";
  EXPECT_TRUE(status_["ready/two"]);
  one_.last_progress += absl::Nanoseconds(1);
  EXPECT_TRUE(watch_.Live().ok()) << "a step has ended";
  EXPECT_TRUE(status_[""] && status_["live"] && status_["ready"]);
}

TEST_F(HealthWatchTest, AnIdleEngineIsNotStalled) {
  Pass(absl::Hours(1));
  EXPECT_TRUE(watch_.Live().ok());
  one_.working = true;  // The hour does not count.
  Pass(absl::Seconds(9));
  EXPECT_TRUE(watch_.Live().ok());
}

TEST_F(HealthWatchTest, StepsThatEndNowAndThenAreProgress) {
  one_.working = true;
  for (int i = 0; i < 20; ++i) {
    Pass(absl::Seconds(8));
    one_.last_progress += absl::Seconds(8);
    EXPECT_TRUE(watch_.Live().ok());
  }
}

TEST_F(HealthWatchTest, ASingleStepMayTakeLongWhereStepsDo) {
  one_.working = true;
  one_.longest_recent_step = absl::Seconds(8);
  Pass(absl::Seconds(31));
  EXPECT_TRUE(watch_.Live().ok());
  Pass(absl::Seconds(1));
  EXPECT_FALSE(watch_.Live().ok());
}

TEST_F(HealthWatchTest, TheEnginesClockMayJump) {
  one_.working = true;
  one_.last_progress = absl::UnixEpoch() - absl::Hours(5);
  Pass(absl::Seconds(5));
  one_.last_progress = absl::UnixEpoch() + absl::Hours(5);
  Pass(absl::Seconds(9));
  EXPECT_TRUE(watch_.Live().ok());
}

TEST_F(HealthWatchTest, ALongLineIsNotReadyUntilItIsClearlyShorter) {
  two_.waiting_requests = 79;
  Pass(absl::Seconds(1));
  EXPECT_TRUE(watch_.Ready().ok());
  two_.waiting_requests = 80;
  EXPECT_THAT(std::string(watch_.Ready().message()),
              HasSubstr("model two: 80 of 100 requests that may wait are waiting"));
  EXPECT_TRUE(watch_.Live().ok());
  EXPECT_THAT(TakeReports(), ElementsAre(Pair("ready/two", false), Pair("ready", false)));
  two_.waiting_requests = 61;
  EXPECT_FALSE(watch_.Ready().ok());
  two_.waiting_requests = 59;
  EXPECT_TRUE(watch_.Ready().ok());
  EXPECT_THAT(TakeReports(), ElementsAre(Pair("ready/two", true), Pair("ready", true)));
  two_.waiting_requests = 79;
  EXPECT_TRUE(watch_.Ready().ok());
}

TEST_F(HealthWatchTest, ALineOfOneIsReadyWhileItIsEmpty) {
  one_.max_waiting_requests = 1;
  EXPECT_TRUE(watch_.Ready().ok());
  one_.waiting_requests = 1;
  EXPECT_FALSE(watch_.Ready().ok());
  one_.waiting_requests = 0;
  EXPECT_TRUE(watch_.Ready().ok());
}

TEST_F(HealthWatchTest, WhileItDrainsItLivesAndTakesNothing) {
  watch_.Drain();
  EXPECT_TRUE(watch_.Live().ok());
  EXPECT_EQ(watch_.Ready().message(), "the server drains");
  for (const auto& [service, serving] : status_) EXPECT_EQ(serving, service == "live") << service;
}

TEST(HealthWatchThreadTest, TheThreadLooksByItself) {
  std::promise<void> looked;
  HealthWatch watch(
      HealthSettings(), {{.name = "one", .signs = [] { return EngineSigns(); }}},
      [](const std::string&, bool) {},
      [&looked, first = true]() mutable {
        if (std::exchange(first, false)) looked.set_value();
      });
  watch.Start();
  EXPECT_EQ(looked.get_future().wait_for(std::chrono::seconds(20)), std::future_status::ready);
}

TEST(HealthSettingsTest, BadSettingsAreNamed) {
  EXPECT_TRUE(HealthSettings().Validate().ok());
  EXPECT_THAT(std::string(HealthSettings{.stall = absl::ZeroDuration()}.Validate().message()),
              HasSubstr("stall: 0 seconds is out of range [1, 86400]"));
  EXPECT_THAT(std::string(HealthSettings{.ready_queue_fraction = 1.5}.Validate().message()),
              HasSubstr("ready_queue_fraction: 1.5 is out of range (0, 1]"));
}

}  // namespace
}  // namespace hocket
