#include "service/cli/log_setup.h"

#include <spdlog/pattern_formatter.h>
#include <spdlog/spdlog.h>

#include <optional>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "service/log_counter.h"
#include "service/log_event.h"

namespace hocket {
namespace {

// The part of a line that is the event's.
class EventFlag : public spdlog::custom_flag_formatter {
 public:
  void format(const spdlog::details::log_msg& message, const std::tm&,
              spdlog::memory_buf_t& line) override {
    const std::string shown =
        Show(absl::string_view(message.payload.data(), message.payload.size()));
    line.append(shown.data(), shown.data() + shown.size());
  }

 private:
  virtual std::string Show(absl::string_view payload) const = 0;
};

class TextEvent final : public EventFlag {
 public:
  std::unique_ptr<spdlog::custom_flag_formatter> clone() const override {
    return std::make_unique<TextEvent>();
  }

 private:
  std::string Show(absl::string_view payload) const override {
    return EventAsText(payload).value_or(std::string(payload));
  }
};

class JsonEvent final : public EventFlag {
 public:
  std::unique_ptr<spdlog::custom_flag_formatter> clone() const override {
    return std::make_unique<JsonEvent>();
  }

 private:
  std::string Show(absl::string_view payload) const override {
    std::optional<std::string> members = EventAsJson(payload);
    if (members) return *std::move(members);
    return absl::StrCat("\"event\":\"message\",\"message\":", JsonText(payload));
  }
};

std::unique_ptr<spdlog::formatter> Formatter(bool json) {
  auto formatter = std::make_unique<spdlog::pattern_formatter>();
  if (json) {
    formatter->add_flag<JsonEvent>('J').set_pattern(
        R"({"time":"%Y-%m-%dT%H:%M:%S.%e%z","level":"%l",%J})");
  } else {
    formatter->add_flag<TextEvent>('J').set_pattern("%Y-%m-%dT%H:%M:%S.%e%z %l %J");
  }
  return formatter;
}

}  // namespace

void SetUpLog(std::shared_ptr<spdlog::sinks::sink> sink, const std::string& level, bool json) {
  const std::vector<spdlog::sink_ptr> sinks = {std::move(sink), std::make_shared<LogCounter>()};
  auto logger = std::make_shared<spdlog::logger>("hocket", sinks.begin(), sinks.end());
  logger->flush_on(spdlog::level::info);
  spdlog::set_default_logger(std::move(logger));
  ChangeLog(level, json);
}

void ChangeLog(const std::string& level, bool json) {
  const std::shared_ptr<spdlog::logger> logger = spdlog::default_logger();
  // Each sink takes its formatter under its own lock, between two lines.
  logger->set_formatter(Formatter(json));
  logger->set_level(spdlog::level::from_str(level));
}

}  // namespace hocket
