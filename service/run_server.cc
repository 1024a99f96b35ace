#include "service/run_server.h"

#include <signal.h>
#include <string.h>

#include <iostream>
#include <memory>
#include <utility>

#include "service/log_event.h"
#include "service/model_text.h"
#include "service/model_to_host.h"
#include "service/server.h"

namespace hocket {
namespace {

// `texts` gets what the models' text is handled by, and must outlive them.
std::vector<ModelToHost> ModelsToHost(const std::vector<LoadedModel>& models,
                                      std::vector<std::unique_ptr<ModelText>>& texts) {
  std::vector<ModelToHost> hosted;
  for (const LoadedModel& model : models) {
    texts.push_back(MakeModelText(*model.runtime));
    hosted.push_back({.name = model.name,
                      .model = {.info = model.runtime->info(),
                                .text = texts.back().get(),
                                .executor = &model.runtime->executor()},
                      .scheduler = model.scheduler,
                      .trace_plans_file = model.trace_plans_file});
  }
  return hosted;
}

}  // namespace

absl::Status RunServer(const ServerSettings& settings, std::vector<LoadedModel> models,
                       StopSignals& signals,
                       const std::function<absl::StatusOr<LiveSettings>()>& reload) {
  std::vector<std::unique_ptr<ModelText>> texts;
  absl::StatusOr<std::unique_ptr<Server>> server =
      Server::Start(settings, ModelsToHost(models, texts));
  if (!server.ok()) return server.status();
  LogEvent("ready").Count("models", static_cast<int64_t>(models.size())).Write();
  // Whoever started the program waits for these lines.
  std::cout << "listening on " << ListenAddress(settings.host, (*server)->port()) << std::endl;
  if ((*server)->metrics_port() >= 0) {
    std::cout << "metrics on " << ListenAddress(settings.metrics_host, (*server)->metrics_port())
              << std::endl;
  }
  absl::Duration drain = settings.drain;
  int signal = signals.Wait();
  for (; signal == SIGHUP; signal = signals.Wait()) {
    const absl::StatusOr<LiveSettings> live = reload();
    (*server)->Reload(live);
    if (live.ok()) drain = live->drain;
  }
  LogEvent("drain").Text("signal", strsignal(signal)).Milliseconds("limit_ms", drain).Write();
  const int ended = (*server)->Stop(absl::Now() + drain);
  LogEvent("stop").Count("requests_ended", ended).Write();
  return absl::OkStatus();
}

}  // namespace hocket
