#include "service/log_event.h"

#include <spdlog/spdlog.h>

#include <algorithm>
#include <nlohmann/json.hpp>

#include "absl/strings/ascii.h"
#include "absl/strings/escaping.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "service/control_characters.h"

namespace hocket {
namespace {

// Begins an encoded event, as it begins a text in a sequence of JSON texts (RFC 7464).
constexpr char kRecordSeparator = '\x1e';

spdlog::level::level_enum SpdlogLevel(LogEvent::Level level) {
  switch (level) {
    case LogEvent::Level::kDebug:
      return spdlog::level::debug;
    case LogEvent::Level::kInfo:
      return spdlog::level::info;
    case LogEvent::Level::kWarning:
      return spdlog::level::warn;
    case LogEvent::Level::kError:
      break;
  }
  return spdlog::level::err;
}

// Whether readers that split lines at spaces and at the first = take it for one word.
bool IsPlainWord(absl::string_view text) {
  return !text.empty() && FindControl(text) == absl::string_view::npos &&
         std::all_of(text.begin(), text.end(), [](unsigned char byte) {
           return byte >= 0x80 || (absl::ascii_isgraph(byte) && byte != '"' && byte != '\'' &&
                                   byte != '=' && byte != '\\');
         });
}

std::string WordOf(const nlohmann::ordered_json& value) {
  if (!value.is_string()) return value.dump();
  const auto& text = value.get_ref<const std::string&>();
  if (IsPlainWord(text)) return text;
  return absl::StrCat("\"", WithControlsEscaped(absl::Utf8SafeCHexEscape(text)), "\"");
}

}  // namespace

LogEvent::LogEvent(absl::string_view name)
    : encoded_(absl::StrCat(std::string(1, kRecordSeparator), "{\"event\":", JsonText(name))) {}

LogEvent& LogEvent::Add(absl::string_view key, absl::string_view json) {
  absl::StrAppend(&encoded_, ",", JsonText(key), ":", json);
  return *this;
}

LogEvent& LogEvent::Text(absl::string_view key, absl::string_view value) {
  return Add(key, JsonText(value));
}

LogEvent& LogEvent::Count(absl::string_view key, int64_t value) {
  return Add(key, absl::StrCat(value));
}

LogEvent& LogEvent::Flag(absl::string_view key, bool value) {
  return Add(key, value ? "true" : "false");
}

LogEvent& LogEvent::Milliseconds(absl::string_view key, absl::Duration value) {
  // JSON has no word for what is endless.
  const double milliseconds = std::clamp(absl::ToDoubleMilliseconds(value), -1e15, 1e15);
  return Add(key, absl::StrFormat("%.1f", milliseconds));
}

void LogEvent::Write(Level level) const { spdlog::log(SpdlogLevel(level), "{}", Encoded()); }

std::optional<std::string> EventAsText(absl::string_view message) {
  if (message.empty() || message.front() != kRecordSeparator) return std::nullopt;
  const auto event = nlohmann::ordered_json::parse(message.begin() + 1, message.end(), nullptr,
                                                   /*allow_exceptions=*/false);
  if (!event.is_object()) return std::nullopt;
  std::string line;
  for (const auto& [key, value] : event.items()) {
    if (line.empty()) {
      line = WordOf(value);
    } else {
      absl::StrAppend(&line, " ", key, "=", WordOf(value));
    }
  }
  return line;
}

std::optional<std::string> EventAsJson(absl::string_view message) {
  if (message.size() < 3 || message.front() != kRecordSeparator) return std::nullopt;
  return std::string(message.substr(2, message.size() - 3));
}

std::string JsonText(absl::string_view text) {
  return WithControlsEscaped(nlohmann::json(std::string(text))
                                 .dump(-1, ' ', false, nlohmann::json::error_handler_t::replace));
}

}  // namespace hocket
