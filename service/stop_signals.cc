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
  sigaddset(&set, SIGHUP);
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
    std::lock_guard lock(mutex_);
    closing_ = true;
  }
  pthread_kill(thread_.native_handle(), SIGINT);  // Wakes it.
  thread_.join();
  const sigset_t set = StopSet();
  pthread_sigmask(SIG_UNBLOCK, &set, nullptr);
}

int StopSignals::Wait() {
  std::unique_lock lock(mutex_);
  waiting_ = true;
  arrived_.wait(lock, [this] { return stop_signal_ != 0 || hung_up_; });
  if (stop_signal_ != 0) return stop_signal_;
  hung_up_ = false;
  return SIGHUP;
}

void StopSignals::Run() {
  const sigset_t set = StopSet();
  while (true) {
    int signal = 0;
    if (sigwait(&set, &signal) != 0) continue;
    std::lock_guard lock(mutex_);
    if (closing_) return;
    Take(signal);
  }
}

void StopSignals::Take(int signal) {
  if (signal == SIGHUP) {
    hung_up_ = true;
  } else {
    if (!waiting_ || stop_signal_ != 0) _exit(128 + signal);
    stop_signal_ = signal;
  }
  arrived_.notify_all();
}

}  // namespace hocket
