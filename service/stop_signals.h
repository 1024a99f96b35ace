// Turns SIGINT and SIGTERM into calls on a thread of its own, so that nothing runs in a signal
// handler. Make it first thing in the program, before any other thread exists: threads inherit
// the blocked signals. One per process.
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

  // Blocks until the first signal and returns its number. Until this is called, a signal ends the
  // process at once, and so does every signal after the first.
  int Wait();

 private:
  void Run();

  std::mutex mutex_;
  std::condition_variable arrived_;
  // Guarded by mutex_:
  bool waiting_ = false;
  bool closing_ = false;
  int signal_ = 0;

  std::thread thread_;
};

}  // namespace hocket

#endif  // HOCKET_SERVICE_STOP_SIGNALS_H_
