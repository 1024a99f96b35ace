#include "service/stop_signals.h"

#include <pthread.h>
#include <signal.h>
#include <unistd.h>

namespace hocket {
namespace {

sigset_t StopSet() {
  sigset_t set;
  sigemptyset(&set);
  sigaddset(&set, SIGINT);
  sigaddset(&set, SIGTERM);
  return set;
}

}  // namespace

StopSignals::StopSignals() {
  const sigset_t set = StopSet();
  pthread_sigmask(SIG_BLOCK, &set, nullptr);
  thread_ = std::thread([this] { Run(); });
}

StopSignals::~StopSignals() {
  {
    absl::MutexLock lock(&mutex_);
    closing_ = true;
  }
  pthread_kill(thread_.native_handle(), SIGTERM);
  thread_.join();
  const sigset_t set = StopSet();
  pthread_sigmask(SIG_UNBLOCK, &set, nullptr);
}

int StopSignals::Wait() {
  absl::MutexLock lock(&mutex_);
  waiting_ = true;
  mutex_.Await(absl::Condition(
      +[](int* signal) { return *signal != 0; }, &signal_));
  return signal_;
}

void StopSignals::Run() {
  const sigset_t set = StopSet();
  while (true) {
    int signal = 0;
    if (sigwait(&set, &signal) != 0) continue;
    absl::MutexLock lock(&mutex_);
    if (closing_) return;
    if (!waiting_ || signal_ != 0) _exit(128 + signal);
    signal_ = signal;
  }
}

}  // namespace hocket
