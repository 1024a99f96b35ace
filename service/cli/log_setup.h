// The server's log: one line per event on stderr, as text or as JSON. SetUpLog is called once, on
// the main thread; what it set can be changed later, from any thread.
#ifndef HOCKET_SERVICE_CLI_LOG_SETUP_H_
#define HOCKET_SERVICE_CLI_LOG_SETUP_H_

#include <spdlog/sinks/sink.h>

#include <memory>
#include <string>

namespace hocket {

// Makes `sink` what spdlog writes to. `level` is "debug", "info", "warning" or "error". A line is
// `TIME LEVEL EVENT`, or an object whose members are `time`, `level` and those of the event
// (service/log_event.h); what was logged as words alone is the event "message".
void SetUpLog(std::shared_ptr<spdlog::sinks::sink> sink, const std::string& level, bool json);

// Of the log that is set up.
void ChangeLog(const std::string& level, bool json);

}  // namespace hocket

#endif  // HOCKET_SERVICE_CLI_LOG_SETUP_H_
