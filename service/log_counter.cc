#include "service/log_counter.h"

#include <spdlog/spdlog.h>

namespace hocket {

const LogCounter* LogCounter::OfDefaultLog() {
  const std::shared_ptr<spdlog::logger> log = spdlog::default_logger();
  if (log == nullptr) return nullptr;
  for (const spdlog::sink_ptr& sink : log->sinks()) {
    if (const auto* counter = dynamic_cast<const LogCounter*>(sink.get())) return counter;
  }
  return nullptr;
}

}  // namespace hocket
