#include "service/cli/load_models.h"

#include <spdlog/spdlog.h>

#include <memory>
#include <string_view>
#include <thread>
#include <utility>

#include "absl/strings/str_cat.h"
#include "runtime/machine.h"
#include "service/cli/byte_size.h"
#include "service/cli/load_runtime.h"
#include "service/cli/memory_report.h"
#include "service/cli/model_flags.h"
#include "service/cli/model_shares.h"
#include "service/engine_settings.h"
#include "service/log_event.h"
#include "service/step_probe.h"

namespace hocket {
namespace {

void LogModel(const std::string& name, const ModelInfo& info) {
  LogEvent("model_loaded")
      .Text("model", name)
      .Text("architecture", info.architecture)
      .Count("parameters", info.parameters)
      .Text("precision", std::string(PrecisionName(info.precision)))
      .Text("kv_precision", std::string(KvPrecisionName(info.kv_precision)))
      .Count("weight_bytes", info.weight_bytes)
      .Count("kv_cache_bytes", info.kv_cache_bytes)
      .Count("kv_blocks", info.kv_blocks)
      .Count("context_tokens", info.max_context_tokens)
      .Count("threads", info.threads)
      .Text("cpu", info.cpu)
      .Write();
  spdlog::info("precision: weights {} ({}), keys and values {}", PrecisionName(info.precision),
               info.precision_reason, KvPrecisionName(info.kv_precision));
  for (const std::string& line : MemoryReport(info)) spdlog::info("memory: {}", line);
  if (info.ExpectedPeakBytes() > info.available_memory_bytes + info.process_bytes) {
    spdlog::warn("memory: the expected peak is more than is available; lower --kv-cache-bytes");
  }
}

// Measures steps, and chooses the target between tokens where none is given.
absl::Status SetTarget(const HostingSettings& settings, const std::string& name, Executor& executor,
                       SchedulerSettings& scheduler) {
  absl::StatusOr<StepProbe> probe = absl::UnknownError("not measured");
  // libgomp keeps a thread's team for as long as the thread lives, and counts all teams' threads
  // against the CPUs: the engine's would hardly spin beside one of the main thread.
  std::thread([&] { probe = ProbeSteps(scheduler, &executor); }).join();
  if (!probe.ok()) {
    const std::string message = absl::StrCat("model ", name, ": ", probe.status().message());
    return absl::Status(probe.status().code(), message);
  }
  scheduler.target_inter_token = settings.target_inter_token.value_or(DefaultTarget(*probe));
  scheduler.measured_steps = std::move(probe->steps);
  LogEvent("step_target")
      .Text("model", name)
      .Milliseconds("target_inter_token_ms", scheduler.target_inter_token)
      .Milliseconds("decode_step_ms", probe->decode_step)
      .Write();
  return absl::OkStatus();
}

absl::StatusOr<LoadedModel> LoadModel(const ModelChoice& choice, const HostingSettings& settings,
                                      RuntimeSettings runtime) {
  runtime.notice = [](std::string_view line) { spdlog::info("{}", line); };
  runtime.later_notice = runtime.notice;
  absl::StatusOr<std::unique_ptr<ModelRuntime>> loaded =
      LoadRuntime(runtime, choice.name.empty() ? "--model" : absl::StrCat("--model ", choice.name));
  if (!loaded.ok()) return loaded.status();
  LoadedModel model;
  model.name = choice.name.empty() ? (*loaded)->info().name : choice.name;
  model.runtime = *std::move(loaded);
  LogModel(model.name, model.runtime->info());
  model.scheduler = SchedulerSettingsFor(runtime, model.runtime->info());
  model.scheduler.admission = settings.admission;
  model.scheduler.prefix_cache = settings.prefix_cache;
  model.trace_plans_file = choice.trace_plans.value_or(settings.trace_plans);
  absl::Status probed = SetTarget(settings, model.name, model.runtime->executor(), model.scheduler);
  if (!probed.ok()) return probed;
  return model;
}

}  // namespace

absl::StatusOr<std::vector<RuntimeSettings>> SettingsOfModels(std::span<const ModelChoice> choices,
                                                              const HostingSettings& settings) {
  std::vector<std::optional<int32_t>> own_threads;
  std::vector<std::optional<int64_t>> own_bytes;
  for (const ModelChoice& choice : choices) {
    own_threads.push_back(choice.threads);
    own_bytes.push_back(choice.kv_cache_bytes);
  }
  const int32_t threads =
      settings.runtime.threads > 0 ? settings.runtime.threads : AvailableThreads();
  const std::vector<int32_t> thread_shares = ShareThreads(threads, own_threads);
  const std::vector<int64_t> byte_shares = ShareKvBytes(settings.runtime.kv_cache_bytes, own_bytes);
  std::vector<RuntimeSettings> all;
  for (size_t i = 0; i < choices.size(); ++i) {
    RuntimeSettings& runtime = all.emplace_back(settings.runtime);
    absl::StatusOr<std::string> folder = FindModel(choices[i].dir, ProgramDir());
    if (!folder.ok()) return folder.status();
    runtime.model_dir = *std::move(folder);
    runtime.precision = choices[i].precision.value_or(runtime.precision);
    runtime.kv_precision = choices[i].kv_precision.value_or(runtime.kv_precision);
    runtime.threads = thread_shares[i];
    runtime.kv_cache_bytes = byte_shares[i];
    if (absl::Status status = runtime.Validate(); !status.ok()) return status;
  }
  return all;
}

absl::StatusOr<std::vector<LoadedModel>> LoadModels(std::span<const ModelChoice> choices,
                                                    const HostingSettings& settings) {
  absl::StatusOr<std::vector<RuntimeSettings>> runtimes = SettingsOfModels(choices, settings);
  if (!runtimes.ok()) return runtimes.status();
  std::vector<MemoryShares::Model> sizes;
  for (const RuntimeSettings& runtime : *runtimes) {
    sizes.push_back(
        {.expected_weight_bytes = ExpectedWeightBytes(runtime.model_dir, runtime.precision),
         .kv_cache_bytes = runtime.kv_cache_bytes});
  }
  MemoryShares shares(std::move(sizes), AvailableMemoryBytes());
  std::vector<LoadedModel> models;
  for (size_t i = 0; i < choices.size(); ++i) {
    RuntimeSettings& runtime = (*runtimes)[i];
    runtime.shared_memory = shares.Next(AvailableMemoryBytes());
    absl::StatusOr<LoadedModel> model = LoadModel(choices[i], settings, runtime);
    if (!model.ok()) return model.status();
    shares.Loaded(model->runtime->info());
    models.push_back(*std::move(model));
  }
  return models;
}

}  // namespace hocket
