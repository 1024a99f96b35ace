// Counts the lines of the log by level, beside the sink that writes them. Any thread.
#ifndef HOCKET_SERVICE_LOG_COUNTER_H_
#define HOCKET_SERVICE_LOG_COUNTER_H_

#include <spdlog/sinks/sink.h>

#include <array>
#include <atomic>
#include <cstdint>
#include <memory>
#include <string>

namespace hocket {

class LogCounter final : public spdlog::sinks::sink {
 public:
  // Of the log that is set up; null where it does not count.
  static const LogCounter* OfDefaultLog();

  int64_t lines(spdlog::level::level_enum level) const { return lines_[level]; }

  void log(const spdlog::details::log_msg& message) override { ++lines_[message.level]; }
  void flush() override {}
  void set_pattern(const std::string&) override {}
  void set_formatter(std::unique_ptr<spdlog::formatter>) override {}

 private:
  std::array<std::atomic<int64_t>, spdlog::level::n_levels> lines_{};
};

}  // namespace hocket

#endif  // HOCKET_SERVICE_LOG_COUNTER_H_
