// Reads lines from a file descriptor and notices Ctrl-C while it waits. One thread.
#ifndef HOCKET_SERVICE_CLI_LINE_READER_H_
#define HOCKET_SERVICE_CLI_LINE_READER_H_

#include <string>

namespace hocket {

class LineReader {
 public:
  explicit LineReader(int fd) : fd_(fd) {}

  enum class Event { kLine, kEnd, kInterrupt };

  // Waits for a line (without its newline; the last one needs none), the end of input, or
  // Interrupts::Raised(), which it leaves raised.
  Event Next(std::string* line);

 private:
  int fd_;
  bool ended_ = false;
  std::string buffer_;
};

}  // namespace hocket

#endif  // HOCKET_SERVICE_CLI_LINE_READER_H_
