// Turns SIGINT, SIGTERM and SIGHUP into calls on a thread of its own, so that nothing runs in a
// signal handler. Make it first thing in the program, before any other thread exists: threads
// inherit the blocked signals. One per process.
#ifndef HOCKET_SERVICE_STOP_SIGNALS_H_
#define HOCKET_SERVICE_STOP_SIGNALS_H_

#include <condition_variable>
#include <mutex>
#include <thread>

namespace hocket {

class StopSignals {
 public:
  StopSignals();
  ~StopSignals();  // Unblocks the signals in the calling thread.
  StopSignals(const StopSignals&) = delete;
  StopSignals& operator=(const StopSignals&) = delete;

  // Blocks until a signal has come, and returns its number. SIGHUP asks to read the configuration
  // again: several that come before Wait are told as one, and it never ends the process. SIGINT
  // or SIGTERM asks to stop: it is told before a SIGHUP, and Wait is not called again. Until Wait
  // is called the first time these two end the process at once, and so do all after the first.
  int Wait();

 private:
  void Run();
  void Take(int signal);  // With mutex_ held.

  std::mutex mutex_;
  std::condition_variable arrived_;
  // Guarded by mutex_:
  bool waiting_ = false;
  bool closing_ = false;
  bool hung_up_ = false;
  int stop_signal_ = 0;

  std::thread thread_;
};

}  // namespace hocket

#endif  // HOCKET_SERVICE_STOP_SIGNALS_H_
