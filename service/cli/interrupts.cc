#include "service/cli/interrupts.h"

#include <fcntl.h>
#include <signal.h>
#include <unistd.h>

#include <atomic>
#include <cerrno>

namespace hocket {
namespace {

// A signal handler can reach nothing but globals.
std::atomic<bool> raised{false};
int pipe_fds[2] = {-1, -1};

void OnInterrupt(int) {
  const int saved_errno = errno;
  if (!raised.exchange(true)) [[maybe_unused]]
    const ssize_t written = write(pipe_fds[1], "", 1);
  errno = saved_errno;
}

}  // namespace

void Interrupts::Install() {
  if (pipe_fds[0] >= 0 || pipe2(pipe_fds, O_CLOEXEC | O_NONBLOCK) != 0) return;
  struct sigaction action = {};
  action.sa_handler = OnInterrupt;
  action.sa_flags = SA_RESTART;
  sigaction(SIGINT, &action, nullptr);
}

bool Interrupts::Raised() { return raised.load(); }

void Interrupts::Clear() {
  char byte = 0;
  while (pipe_fds[0] >= 0 && read(pipe_fds[0], &byte, 1) > 0) {
  }
  raised.store(false);
}

int Interrupts::fd() { return pipe_fds[0]; }

}  // namespace hocket
