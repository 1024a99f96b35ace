#include "service/cli/line_reader.h"

#include <poll.h>
#include <unistd.h>

#include <cerrno>

#include "service/cli/interrupts.h"

namespace hocket {

LineReader::Event LineReader::Next(std::string* line) {
  while (true) {
    if (Interrupts::Raised()) return Event::kInterrupt;
    const size_t newline = buffer_.find('\n');
    if (newline != std::string::npos || (ended_ && !buffer_.empty())) {
      *line = buffer_.substr(0, newline);
      buffer_.erase(0, newline == std::string::npos ? newline : newline + 1);
      if (!line->empty() && line->back() == '\r') line->pop_back();
      return Event::kLine;
    }
    if (ended_) return Event::kEnd;

    pollfd waits[] = {{fd_, POLLIN, 0}, {Interrupts::fd(), POLLIN, 0}};
    if (poll(waits, 2, -1) < 0 || waits[0].revents == 0) continue;
    char bytes[4096];
    const ssize_t count = read(fd_, bytes, sizeof(bytes));
    if (count > 0) {
      buffer_.append(bytes, count);
    } else if (count == 0 || (errno != EINTR && errno != EAGAIN)) {
      ended_ = true;
    }
  }
}

}  // namespace hocket
