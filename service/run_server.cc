#include "service/run_server.h"

#include <string.h>

#include <iostream>
#include <memory>
#include <utility>

#include "service/log_event.h"
#include "service/model_text.h"

namespace hocket {

absl::Status RunServer(const ServerSettings& settings, std::vector<LoadedModel> models,
                       StopSignals& signals) {
  std::vector<std::unique_ptr<ModelText>> texts;
  std::vector<ModelToHost> hosted;
  for (LoadedModel& model : models) {
    texts.push_back(MakeModelText(*model.runtime));
    hosted.push_back({.name = model.name,
                      .model = {.info = model.runtime->info(),
                                .text = texts.back().get(),
                                .executor = &model.runtime->executor()},
                      .scheduler = model.scheduler,
                      .trace_plans_file = model.trace_plans_file});
  }
  absl::StatusOr<std::unique_ptr<Server>> server = Server::Start(settings, std::move(hosted));
  if (!server.ok()) return server.status();
  // Whoever started the program waits for these lines.
  std::cout << "listening on " << ListenAddress(settings.host, (*server)->port()) << std::endl;
  if ((*server)->metrics_port() >= 0) {
    std::cout << "metrics on " << ListenAddress(settings.metrics_host, (*server)->metrics_port())
              << std::endl;
  }
  const int signal = signals.Wait();
  LogEvent("drain")
      .Text("signal", strsignal(signal))
      .Milliseconds("limit_ms", settings.drain)
      .Write();
  const int ended = (*server)->Stop(absl::Now() + settings.drain);
  LogEvent("stop").Count("requests_ended", ended).Write();
  return absl::OkStatus();
}

}  // namespace hocket
