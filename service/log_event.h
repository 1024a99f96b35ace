// One event of the log: a name and its members, in order. Written through spdlog as one line, which
// service/cli/log_setup.h shows as text, `request id=a tokens=3`, or as a JSON object. What clients
// and files say goes in as a member, never into a message: there it is escaped, and makes neither
// lines nor members of its own. A value on its way to the log; any thread.
#ifndef HOCKET_SERVICE_LOG_EVENT_H_
#define HOCKET_SERVICE_LOG_EVENT_H_

#include <cstdint>
#include <optional>
#include <string>

#include "absl/strings/string_view.h"
#include "absl/time/time.h"

namespace hocket {

class LogEvent {
 public:
  enum class Level { kDebug, kInfo, kWarning, kError };

  explicit LogEvent(absl::string_view name);

  // Keys are in snake case, with the unit last, and each is given once.
  LogEvent& Text(absl::string_view key,
                 absl::string_view value);  // Bytes that are no UTF-8: U+FFFD.
  LogEvent& Count(absl::string_view key, int64_t value);
  LogEvent& Flag(absl::string_view key, bool value);
  LogEvent& Milliseconds(absl::string_view key, absl::Duration value);  // To a tenth.

  void Write(Level level = Level::kInfo) const;

  // The message that Write gives to spdlog.
  std::string Encoded() const { return encoded_ + "}"; }

 private:
  LogEvent& Add(absl::string_view key, absl::string_view json);

  std::string encoded_;  // All but the closing brace.
};

// How a line shows a message of spdlog's that LogEvent wrote; nothing for any other message.
// `name key=value ...`, where a value stands in quotes and escaped unless it is a plain word.
std::optional<std::string> EventAsText(absl::string_view message);
// `"event":"name","key":value,...`: the members of an object.
std::optional<std::string> EventAsJson(absl::string_view message);

// In quotes, with everything escaped that JSON wants escaped; bytes that are no UTF-8 as U+FFFD.
std::string JsonText(absl::string_view text);

}  // namespace hocket

#endif  // HOCKET_SERVICE_LOG_EVENT_H_
