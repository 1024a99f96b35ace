// Lines of the log to a descriptor, usually standard error, whose reader may stop reading: who logs
// waits for it a second at most, and then lines are lost until it reads again. How many is the
// first that it reads then, the event "log_lines_lost". Any thread.
#ifndef HOCKET_SERVICE_CLI_STDERR_SINK_H_
#define HOCKET_SERVICE_CLI_STDERR_SINK_H_

#include <spdlog/sinks/base_sink.h>

#include <cstdint>
#include <mutex>

#include "absl/strings/string_view.h"
#include "absl/time/time.h"

namespace hocket {

class StderrSink final : public spdlog::sinks::base_sink<std::mutex> {
 public:
  explicit StderrSink(int descriptor, absl::Duration patience = absl::Seconds(1))
      : descriptor_(descriptor), patience_(patience) {}

 private:
  void sink_it_(const spdlog::details::log_msg& message) override;
  void flush_() override {}

  // Whether all was written.
  bool Write(absl::string_view text);
  bool WriteLine(const spdlog::details::log_msg& message);

  const int descriptor_;
  const absl::Duration patience_;
  int64_t lost_ = 0;   // Lines, since the last that was written.
  bool torn_ = false;  // What was written ends within a line.
};

}  // namespace hocket

#endif  // HOCKET_SERVICE_CLI_STDERR_SINK_H_
