// The server's log: one line per event on stderr, as text or as JSON. Call once, on the main
// thread.
#ifndef HOCKET_SERVICE_CLI_LOG_SETUP_H_
#define HOCKET_SERVICE_CLI_LOG_SETUP_H_

#include <spdlog/sinks/sink.h>

#include <memory>
#include <string>

namespace hocket {

// Makes `sink` what spdlog writes to. `level` is "debug", "info", "warning" or "error".
void SetUpLog(std::shared_ptr<spdlog::sinks::sink> sink, const std::string& level, bool json);

}  // namespace hocket

#endif  // HOCKET_SERVICE_CLI_LOG_SETUP_H_
