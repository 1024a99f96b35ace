#include "service/stop_signals.h"

#include <gtest/gtest.h>
#include <signal.h>
#include <unistd.h>

#include <chrono>
#include <thread>

namespace hocket {
namespace {

class StopSignalsTest : public testing::Test {
 protected:
  // Each case needs a process without other threads.
  void SetUp() override { GTEST_FLAG_SET(death_test_style, "threadsafe"); }
};
using StopSignalsDeathTest = StopSignalsTest;

void SendLater(int signal) {
  std::thread([signal] {
    std::this_thread::sleep_for(std::chrono::milliseconds(100));
    kill(getpid(), signal);
  }).detach();
}

TEST_F(StopSignalsDeathTest, BeforeAnyoneWaitsASignalEndsTheProcess) {
  EXPECT_EXIT(
      {
        StopSignals signals;
        kill(getpid(), SIGTERM);
        sleep(10);
      },
      testing::ExitedWithCode(128 + SIGTERM), "");
}

TEST_F(StopSignalsDeathTest, TheFirstSignalIsToldAndTheSecondEndsTheProcess) {
  EXPECT_EXIT(
      {
        StopSignals signals;
        SendLater(SIGTERM);
        if (signals.Wait() != SIGTERM) _exit(1);
        kill(getpid(), SIGINT);
        sleep(10);
      },
      testing::ExitedWithCode(128 + SIGINT), "");
}

TEST_F(StopSignalsDeathTest, AfterTheFirstTheProgramMayEndInItsOwnTime) {
  EXPECT_EXIT(
      {
        {
          StopSignals signals;
          SendLater(SIGINT);
          signals.Wait();
        }
        _exit(7);
      },
      testing::ExitedWithCode(7), "");
}

TEST_F(StopSignalsDeathTest, AHangupIsToldAndWaitingGoesOn) {
  EXPECT_EXIT(
      {
        StopSignals signals;
        kill(getpid(), SIGHUP);  // Before anyone waits: told later.
        if (signals.Wait() != SIGHUP) _exit(1);
        SendLater(SIGHUP);
        if (signals.Wait() != SIGHUP) _exit(2);
        SendLater(SIGTERM);
        if (signals.Wait() != SIGTERM) _exit(3);
        kill(getpid(), SIGHUP);
        std::this_thread::sleep_for(std::chrono::milliseconds(100));
        _exit(7);
      },
      testing::ExitedWithCode(7), "");
}

}  // namespace
}  // namespace hocket
