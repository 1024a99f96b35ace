// `hocket bench kv-cache`: what the KV cache saves. Generates the same tokens greedily twice: once
// with the cache, once computing the whole sequence anew for each token.
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
#include "service/cli/load_runtime.h"
#include "service/cli/model_flags.h"
#include "service/cli/output.h"
#include "service/cli/random_prompt.h"
#include "service/cli/result_json.h"
#include "service/cli/single_sequence.h"
#include "service/cli/stage_progress.h"

namespace hocket {
namespace {

struct Measured {
  std::vector<TokenId> tokens;
  double seconds = 0;

  double TokensPerSecond() const { return static_cast<double>(tokens.size()) / seconds; }
};

absl::Status KeepFaster(absl::StatusOr<Measured> measured, Measured* fastest) {
  if (!measured.ok()) return measured.status();
  if (fastest->tokens.empty() || measured->seconds < fastest->seconds) {
    *fastest = *std::move(measured);
  }
  return absl::OkStatus();
}

class BenchKvCacheCommand final : public Command {
 public:
  absl::string_view name() const override { return "bench kv-cache"; }
  absl::string_view summary() const override { return "Speed with the KV cache against without"; }

  void AddFlags(CLI::App& app) override {
    app.add_option("-n,--new-tokens", new_tokens_, "Tokens to generate")
        ->check(WholeNumber(1, 1 << 20))
        ->capture_default_str()
        ->type_name("N");
    app.add_option("--prompt-tokens", prompt_tokens_, "Random tokens before them")
        ->check(WholeNumber(1, 1 << 20))
        ->capture_default_str()
        ->type_name("N");
    app.add_option("--seed", seed_, "Of the random prompt")
        ->check(WholeNumber(0, std::numeric_limits<int64_t>::max()))
        ->capture_default_str()
        ->type_name("N");
    app.add_option("--repeat", repeat_, "Measure each way this often, by turns; the fastest counts")
        ->check(WholeNumber(1, 100))
        ->capture_default_str()
        ->type_name("N");
    app.add_option("--format", format_, "text or json")
        ->check(CLI::IsMember({"text", "json"}))
        ->capture_default_str();
    model_.Add(app);
  }

  absl::StatusOr<int> Run() override {
    absl::StatusOr<RuntimeSettings> settings = model_.Resolve();
    if (!settings.ok()) return settings.status();
    absl::StatusOr<std::unique_ptr<ModelRuntime>> runtime = LoadRuntime(*settings);
    if (!runtime.ok()) return runtime.status();
    const ModelInfo& info = (*runtime)->info();
    const int64_t tokens = int64_t{prompt_tokens_} + new_tokens_;
    const int64_t fits = std::min<int64_t>(info.max_context_tokens,
                                           int64_t{info.kv_blocks} * settings->block_tokens);
    if (tokens > fits) {
      return absl::InvalidArgumentError(
          absl::StrCat("--new-tokens: ", prompt_tokens_, " prompt tokens and ", new_tokens_,
                       " new ones are more than the ", fits, " that the model and its cache hold"));
    }
    SingleSequence sequence(&(*runtime)->executor(), settings->block_tokens,
                            settings->max_step_tokens);
    const std::vector<TokenId> prompt = RandomPrompt(info, prompt_tokens_, seed_);
    // The first steps of a process also build kernels; they are not what is measured.
    if (absl::Status status = sequence.Begin(prompt, Spec()).status(); !status.ok()) return status;
    Measured cached;
    Measured recomputed;
    for (int32_t i = 0; i < repeat_; ++i) {
      absl::Status status = KeepFaster(Cached(sequence, prompt), &cached);
      if (status.ok()) status = KeepFaster(Recomputed(sequence, prompt), &recomputed);
      if (!status.ok()) return status;
    }
    if (absl::Status status = Report(info, cached, recomputed); !status.ok()) return status;
    return 0;
  }

 private:
  GenerationSpec Spec() const {
    GenerationSpec spec;
    spec.sampling.temperature = 0;
    spec.stopping.max_new_tokens = new_tokens_;
    spec.stopping.ignore_eos = true;
    return spec;
  }

  absl::StatusOr<Measured> Cached(SingleSequence& sequence,
                                  const std::vector<TokenId>& prompt) const {
    StageProgress progress = StageProgress::OnStderr();
    Measured measured;
    const absl::Time start = absl::Now();
    absl::StatusOr<TokenId> token = sequence.Begin(prompt, Spec());
    while (token.ok()) {
      measured.tokens.push_back(*token);
      progress.Show("with the cache", Fraction(measured));
      if (measured.tokens.size() == static_cast<size_t>(new_tokens_)) break;
      token = sequence.Continue(*token);
    }
    measured.seconds = absl::ToDoubleSeconds(absl::Now() - start);
    progress.Finish();
    if (!token.ok()) return token.status();
    return measured;
  }

  absl::StatusOr<Measured> Recomputed(SingleSequence& sequence, std::vector<TokenId> tokens) const {
    StageProgress progress = StageProgress::OnStderr();
    Measured measured;
    const absl::Time start = absl::Now();
    while (measured.tokens.size() < static_cast<size_t>(new_tokens_)) {
      absl::StatusOr<TokenId> token = sequence.Begin(tokens, Spec());
      if (!token.ok()) return token.status();
      measured.tokens.push_back(*token);
      tokens.push_back(*token);
      progress.Show("recomputing each step", Fraction(measured));
    }
    measured.seconds = absl::ToDoubleSeconds(absl::Now() - start);
    progress.Finish();
    return measured;
  }

  double Fraction(const Measured& measured) const {
    return static_cast<double>(measured.tokens.size()) / new_tokens_;
  }

  absl::Status Report(const ModelInfo& info, const Measured& cached,
                      const Measured& recomputed) const {
    const double ratio = recomputed.seconds / cached.seconds;
    const bool same = cached.tokens == recomputed.tokens;
    if (format_ == "json") {
      const auto way = [](const Measured& measured) -> nlohmann::ordered_json {
        return {{"seconds", measured.seconds}, {"tokens_per_second", measured.TokensPerSecond()}};
      };
      return WriteOutput(JsonLine({{"model", info.name},
                                   {"precision", PrecisionName(info.precision)},
                                   {"threads", info.threads},
                                   {"cpu", info.cpu},
                                   {"prompt_tokens", prompt_tokens_},
                                   {"new_tokens", new_tokens_},
                                   {"cached", way(cached)},
                                   {"recomputed", way(recomputed)},
                                   {"ratio", ratio},
                                   {"same_tokens", same}}));
    }
    const auto row = [](std::string name, const Measured& measured) -> std::vector<std::string> {
      return {std::move(name), absl::StrFormat("%.3f", measured.seconds),
              absl::StrFormat("%.1f", measured.TokensPerSecond())};
    };
    const std::vector<std::string> rows[] = {{"", "seconds", "tokens/s"},
                                             row("with the KV cache", cached),
                                             row("recomputing each step", recomputed)};
    return WriteOutput(absl::StrFormat(
        "%s, %s, %s, %d threads: %d tokens after a prompt of %d\n%s"
        "ratio %.1f; the tokens are %s\n",
        info.name, PrecisionName(info.precision), info.cpu, info.threads, new_tokens_,
        prompt_tokens_, LayoutTable(rows), ratio, same ? "the same" : "NOT THE SAME"));
  }

  ModelFlags model_;
  int32_t new_tokens_ = 512;
  int32_t prompt_tokens_ = 16;
  uint64_t seed_ = 1;
  int32_t repeat_ = 1;
  std::string format_ = "text";
};

}  // namespace

std::unique_ptr<Command> NewBenchKvCacheCommand() {
  return std::make_unique<BenchKvCacheCommand>();
}

}  // namespace hocket
