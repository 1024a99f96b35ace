#include <spdlog/spdlog.h>

#include <iostream>

#include "absl/strings/str_cat.h"
#include "service/model_text.h"
#include "service/server.h"

namespace hocket {

absl::Status RunServer(const ServerSettings& settings, const SchedulerSettings& scheduler,
                       ModelRuntime& runtime, StopSignals& signals) {
  const std::unique_ptr<ModelText> text = MakeModelText(runtime);
  absl::StatusOr<std::unique_ptr<Server>> server =
      Server::Start(settings, scheduler,
                    {.info = runtime.info(), .text = text.get(), .executor = &runtime.executor()});
  if (!server.ok()) return server.status();
  // Whoever started the program waits for these lines.
  std::cout << "listening on " << ListenAddress(settings.host, (*server)->port()) << std::endl;
  if ((*server)->metrics_port() >= 0) {
    std::cout << "metrics on " << ListenAddress(settings.metrics_host, (*server)->metrics_port())
              << std::endl;
  }
  const int signal = signals.Wait();
  spdlog::info("signal {}: draining for up to {}", signal, absl::FormatDuration(settings.drain));
  const int ended = (*server)->Stop(absl::Now() + settings.drain);
  spdlog::info("drained; {} requests had to be ended", ended);
  return absl::OkStatus();
}

}  // namespace hocket
