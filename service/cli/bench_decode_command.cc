// `hocket bench decode`: tokens per second against the number of sequences decoded together, in
// this process, without a server.
#include <algorithm>
#include <memory>
#include <string>

#include "CLI/CLI.hpp"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "absl/time/clock.h"
#include "service/cli/columns.h"
#include "service/cli/command.h"
#include "service/cli/flag_checks.h"
#include "service/cli/local_model.h"
#include "service/cli/model_flags.h"
#include "service/cli/number_list.h"
#include "service/cli/output.h"
#include "service/cli/random_prompt.h"
#include "service/cli/result_json.h"
#include "service/cli/stage_progress.h"

namespace hocket {
namespace {

struct BatchResult {
  int32_t batch = 0;
  double seconds = 0;
  double tokens_per_second = 0;         // Of all sequences, prefill included.
  double decode_tokens_per_second = 0;  // From the last sequence's first token on.
  double first_token_ms = 0;            // The last sequence's.
};

class BenchDecodeCommand final : public Command {
 public:
  absl::string_view name() const override { return "bench decode"; }
  absl::string_view summary() const override { return "Tokens per second at several batch sizes"; }

  void AddFlags(CLI::App& app) override {
    app.add_option("--batch", batches_, "Sequences at a time")
        ->check(WholeNumberList(1, 4096))
        ->capture_default_str()
        ->type_name("LIST");
    app.add_option("--prompt-tokens", prompt_tokens_, "Random tokens of each prompt")
        ->check(WholeNumber(1, 1 << 20))
        ->capture_default_str()
        ->type_name("N");
    app.add_option("-n,--new-tokens", new_tokens_, "Tokens to generate for each")
        ->check(WholeNumber(2, 1 << 20))
        ->capture_default_str()
        ->type_name("N");
    app.add_option("-t,--temperature", temperature_, "0 is greedy")
        ->check(Number(0, std::numeric_limits<float>::max()))
        ->capture_default_str()
        ->type_name("T");
    app.add_option("--seed", seed_, "Of the random prompts and of sampling")
        ->check(WholeNumber(0, std::numeric_limits<int64_t>::max()))
        ->capture_default_str()
        ->type_name("N");
    app.add_option("--format", format_, "text or json")
        ->check(CLI::IsMember({"text", "json"}))
        ->capture_default_str();
    model_.Add(app);
  }

  absl::StatusOr<int> Run() override {
    absl::StatusOr<std::vector<double>> batches = ParseNumberList(batches_);
    if (!batches.ok()) return batches.status();
    absl::StatusOr<RuntimeSettings> settings = model_.Resolve();
    if (!settings.ok()) return settings.status();
    const double largest = *std::max_element(batches->begin(), batches->end());
    settings->max_running_sequences =
        std::max(settings->max_running_sequences, static_cast<int32_t>(largest));
    settings->max_step_tokens = std::max(settings->max_step_tokens, static_cast<int32_t>(largest));
    absl::StatusOr<std::unique_ptr<LocalModel>> model = LocalModel::Load(*settings);
    if (!model.ok()) return model.status();
    const ModelInfo& info = (*model)->info();
    if (prompt_tokens_ + new_tokens_ > info.max_context_tokens) {
      return absl::InvalidArgumentError(
          absl::StrCat("--new-tokens: ", prompt_tokens_, " prompt tokens and ", new_tokens_,
                       " new ones are more than the context of ", info.max_context_tokens));
    }
    // The first steps of a process also build kernels; they are not what is measured.
    if (absl::Status warm = Measure(**model, 1, 2).status(); !warm.ok()) return warm;
    std::vector<BatchResult> results;
    StageProgress progress = StageProgress::OnStderr();
    for (const double batch : *batches) {
      progress.Show(absl::StrCat("batch ", batch), 0);
      absl::StatusOr<BatchResult> result =
          Measure(**model, static_cast<int32_t>(batch), new_tokens_);
      if (!result.ok()) return result.status();
      results.push_back(*result);
    }
    progress.Finish();
    if (absl::Status status = Report(info, results); !status.ok()) return status;
    return 0;
  }

 private:
  absl::StatusOr<BatchResult> Measure(LocalModel& model, int32_t batch, int32_t new_tokens) const {
    GenerationSpec spec;
    spec.sampling.temperature = temperature_;
    spec.stopping.max_new_tokens = new_tokens;
    spec.stopping.ignore_eos = true;
    const absl::Time start = absl::Now();
    std::vector<std::unique_ptr<Completion>> running;
    for (int32_t i = 0; i < batch; ++i) {
      spec.sampling.seed = seed_ + i;
      absl::StatusOr<std::unique_ptr<Completion>> completion =
          model.Start(RandomPrompt(model.info(), prompt_tokens_, seed_ + i), spec, new_tokens);
      if (!completion.ok()) return completion.status();
      running.push_back(*std::move(completion));
    }
    BatchResult measured;
    measured.batch = batch;
    absl::Duration first_token;
    for (const auto& completion : running) {
      absl::StatusOr<CompletionResult> result = completion->Collect(nullptr, false);
      if (!result.ok()) return result.status();
      const RequestTimings& timings = result->finished.timings;
      first_token = std::max(first_token, timings.queued + timings.prefill);
    }
    const absl::Duration total = absl::Now() - start;
    measured.seconds = absl::ToDoubleSeconds(total);
    measured.first_token_ms = absl::ToDoubleMilliseconds(first_token);
    measured.tokens_per_second = double{1} * batch * new_tokens / measured.seconds;
    measured.decode_tokens_per_second =
        double{1} * batch * (new_tokens - 1) / absl::ToDoubleSeconds(total - first_token);
    return measured;
  }

  absl::Status Report(const ModelInfo& info, const std::vector<BatchResult>& results) const {
    const double base = results[0].tokens_per_second;
    if (format_ == "json") {
      nlohmann::ordered_json rows = nlohmann::ordered_json::array();
      for (const BatchResult& result : results) {
        rows.push_back({{"batch", result.batch},
                        {"seconds", result.seconds},
                        {"tokens_per_second", result.tokens_per_second},
                        {"decode_tokens_per_second", result.decode_tokens_per_second},
                        {"last_first_token_ms", result.first_token_ms},
                        {"ratio", result.tokens_per_second / base}});
      }
      return WriteOutput(JsonLine({{"model", info.name},
                                   {"precision", PrecisionName(info.precision)},
                                   {"threads", info.threads},
                                   {"cpu", info.cpu},
                                   {"prompt_tokens", prompt_tokens_},
                                   {"new_tokens", new_tokens_},
                                   {"batches", std::move(rows)}}));
    }
    std::vector<std::vector<std::string>> rows = {
        {"batch", "tokens/s", "ratio", "per sequence", "decode tokens/s", "last first token ms"}};
    for (const BatchResult& result : results) {
      rows.push_back({absl::StrCat(result.batch), absl::StrFormat("%.1f", result.tokens_per_second),
                      absl::StrFormat("%.2f", result.tokens_per_second / base),
                      absl::StrFormat("%.1f", result.tokens_per_second / result.batch),
                      absl::StrFormat("%.1f", result.decode_tokens_per_second),
                      absl::StrFormat("%.0f", result.first_token_ms)});
    }
    return WriteOutput(absl::StrFormat(
        "%s, %s, %s, %d threads: prompts of %d random tokens, %d new tokens each\n%s", info.name,
        PrecisionName(info.precision), info.cpu, info.threads, prompt_tokens_, new_tokens_,
        LayoutTable(rows)));
  }

  ModelFlags model_;
  std::string batches_ = "1,2,4,8,16";
  int32_t prompt_tokens_ = 128;
  int32_t new_tokens_ = 128;
  float temperature_ = 0;
  uint64_t seed_ = 1;
  std::string format_ = "text";
};

}  // namespace

std::unique_ptr<Command> NewBenchDecodeCommand() { return std::make_unique<BenchDecodeCommand>(); }

}  // namespace hocket
