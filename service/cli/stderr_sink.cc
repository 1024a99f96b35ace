#include "service/cli/stderr_sink.h"

#include <poll.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <climits>
#include <string>

#include "service/log_event.h"

namespace hocket {

void StderrSink::sink_it_(const spdlog::details::log_msg& message) {
  if (lost_ > 0) {
    const std::string event = LogEvent("log_lines_lost").Count("lines", lost_).Encoded();
    if (!WriteLine({message.time, {}, message.logger_name, spdlog::level::warn, event})) {
      ++lost_;
      return;
    }
    lost_ = 0;
  }
  if (!WriteLine(message)) ++lost_;
}

bool StderrSink::WriteLine(const spdlog::details::log_msg& message) {
  spdlog::memory_buf_t line;
  if (torn_) line.push_back('\n');
  formatter_->format(message, line);
  return Write({line.data(), line.size()});
}

bool StderrSink::Write(absl::string_view text) {
  const absl::Duration patience = lost_ > 0 ? absl::ZeroDuration() : patience_;
  while (!text.empty()) {
    pollfd ready = {.fd = descriptor_, .events = POLLOUT, .revents = 0};
    const int count = poll(&ready, 1, static_cast<int>(absl::ToInt64Milliseconds(patience)));
    if (count < 0 && errno == EINTR) continue;
    if (count <= 0) return false;
    // A pipe that takes anything takes so much at once.
    const ssize_t written =
        write(descriptor_, text.data(), std::min<size_t>(text.size(), PIPE_BUF));
    if (written < 0 && (errno == EINTR || errno == EAGAIN)) continue;
    if (written <= 0) return false;
    text.remove_prefix(static_cast<size_t>(written));
    torn_ = !text.empty();
  }
  return true;
}

}  // namespace hocket
