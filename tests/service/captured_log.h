// The default log's messages, for as long as this lives, as its formatter shows them in text.
#ifndef HOCKET_TESTS_SERVICE_CAPTURED_LOG_H_
#define HOCKET_TESTS_SERVICE_CAPTURED_LOG_H_

#include <spdlog/sinks/ostream_sink.h>
#include <spdlog/spdlog.h>

#include <memory>
#include <sstream>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/str_split.h"
#include "service/log_event.h"

namespace hocket {

class CapturedLog {
 public:
  CapturedLog() : before_(spdlog::default_logger()) {
    auto logger = std::make_shared<spdlog::logger>(
        "test", std::make_shared<spdlog::sinks::ostream_sink_mt>(lines_));
    logger->set_pattern("%l %v");
    spdlog::set_default_logger(std::move(logger));
  }
  ~CapturedLog() { spdlog::set_default_logger(before_); }
  CapturedLog(const CapturedLog&) = delete;
  CapturedLog& operator=(const CapturedLog&) = delete;

  // Of what has been written since the last call: "LEVEL EVENT key=value ...".
  std::vector<std::string> Take() {
    std::vector<std::string> taken;
    for (const std::string& line : std::vector<std::string>(
             absl::StrSplit(std::exchange(lines_, {}).str(), '\n', absl::SkipEmpty()))) {
      const size_t level = line.find(' ') + 1;
      const std::string message = line.substr(level);
      taken.push_back(line.substr(0, level) + EventAsText(message).value_or(message));
    }
    return taken;
  }

 private:
  std::ostringstream lines_;
  const std::shared_ptr<spdlog::logger> before_;
};

}  // namespace hocket

#endif  // HOCKET_TESTS_SERVICE_CAPTURED_LOG_H_
