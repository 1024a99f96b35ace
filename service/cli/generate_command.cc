// `hocket generate`: one prompt in, its continuation streamed to stdout, one line of facts to
// stderr.
#include <unistd.h>

#include <algorithm>
#include <limits>
#include <memory>
#include <optional>
#include <string>

#include "CLI/CLI.hpp"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "service/cli/command.h"
#include "service/cli/command_line.h"
#include "service/cli/completion_facts.h"
#include "service/cli/explanation_text.h"
#include "service/cli/flag_checks.h"
#include "service/cli/interrupts.h"
#include "service/cli/local_model.h"
#include "service/cli/model_flags.h"
#include "service/cli/output.h"
#include "service/cli/prompt_flags.h"
#include "service/cli/result_json.h"
#include "service/cli/sampling_flags.h"

namespace hocket {
namespace {

class GenerateCommand final : public Command {
 public:
  absl::string_view name() const override { return "generate"; }
  absl::string_view summary() const override { return "Continue a prompt, streamed to stdout"; }

  void AddFlags(CLI::App& app) override {
    prompt_.Add(app);
    sampling_.AddSampling(app);
    sampling_.AddStopping(app);
    app.add_option("--logprobs", top_logprobs_,
                   "Score every token, with this many alternatives (needs --format json)")
        ->check(WholeNumber(0, 20))
        ->type_name("N");
    app.add_flag("--logprobs-after", logprobs_after_,
                 "Score by the distribution that was drawn from, not by the model's own");
    app.add_flag("--explain", explain_,
                 "Show, for each token, what every part of the chain made of the likeliest ones");
    app.add_option("--explain-candidates", explained_candidates_, "How many of them")
        ->check(WholeNumber(1, 50))
        ->capture_default_str()
        ->type_name("N");
    app.add_option("--truncate-prompt", truncate_prompt_, "Keep only the prompt's last N tokens")
        ->check(WholeNumber(1, std::numeric_limits<int32_t>::max()))
        ->type_name("N");
    app.add_flag("--stop-at-context", stop_at_context_,
                 "Let a full context end the answer, rather than refuse one that may be too long");
    app.add_option("--format", format_, "text, or json: one object at the end")
        ->check(CLI::IsMember({"text", "json"}))
        ->capture_default_str();
    app.add_flag("--special-tokens", special_tokens_, "Show special tokens in the text");
    app.add_flag("-q,--quiet", quiet_, "No line of facts on stderr");
    model_.Add(app);
  }

  absl::Status Check() override {
    if (absl::Status status = prompt_.Check(); !status.ok()) return status;
    if (top_logprobs_ && format_ != "json") {
      return absl::InvalidArgumentError("--logprobs: needs --format json");
    }
    if (logprobs_after_ && !top_logprobs_) {
      return absl::InvalidArgumentError("--logprobs-after: needs --logprobs");
    }
    return sampling_.Check();
  }

  absl::StatusOr<int> Run() override {
    absl::StatusOr<RuntimeSettings> settings = model_.Resolve();
    if (!settings.ok()) return settings.status();
    absl::StatusOr<std::unique_ptr<LocalModel>> model = LocalModel::Load(*settings);
    if (!model.ok()) return model.status();
    absl::StatusOr<GenerationSpec> spec = sampling_.MakeSpec((*model)->info(), (*model)->text());
    if (!spec.ok()) return spec.status();
    spec->output.logprobs = top_logprobs_.has_value();
    spec->output.top_logprobs = top_logprobs_.value_or(0);
    spec->output.scored_after_filtering = logprobs_after_;
    spec->output.explained_candidates = explain_ ? explained_candidates_ : 0;
    spec->output.special_tokens_in_text = special_tokens_;
    absl::StatusOr<std::vector<TokenId>> prompt =
        prompt_.Resolve((*model)->text(), (*model)->info().vocabulary_size);
    if (!prompt.ok()) return prompt.status();
    const size_t kept = static_cast<size_t>(truncate_prompt_.value_or(prompt->size()));
    if (prompt->size() > kept) prompt->erase(prompt->begin(), prompt->end() - kept);
    return Generate(**model, *spec, *std::move(prompt));
  }

 private:
  absl::StatusOr<int> Generate(LocalModel& model, const GenerationSpec& spec,
                               std::vector<TokenId> prompt) const {
    Interrupts::Install();
    const bool json = format_ == "json";
    int64_t max_new_tokens = spec.stopping.max_new_tokens;
    const int64_t left = model.info().max_context_tokens - static_cast<int64_t>(prompt.size());
    if (stop_at_context_ && left > 0) max_new_tokens = std::min(max_new_tokens, left);
    absl::StatusOr<std::unique_ptr<Completion>> completion =
        model.Start(std::move(prompt), spec, static_cast<int32_t>(max_new_tokens));
    if (!completion.ok()) return completion.status();
    absl::StatusOr<CompletionResult> result =
        (*completion)
            ->Collect(
                [&](const Outcome& outcome) {
                  return json || explain_ ? absl::OkStatus() : WriteOutput(outcome.text);
                },
                /*stops_on_interrupt=*/true);
    if (!result.ok()) return result.status();
    std::string end = "\n";
    if (explain_) {
      end = absl::StrCat(ExplanationText(result->explanations, model.text()), "\n", result->text,
                         "\n");
    }
    if (json) end = JsonLine(CompletionJson(model.info(), spec, *result));
    const absl::Status written = WriteOutput(end);
    if (!written.ok()) return written;
    if (!quiet_) WriteNote(CompletionFacts(spec, *result));
    return Interrupts::Raised() ? kExitInterrupted : 0;
  }

  PromptFlags prompt_;
  SamplingFlags sampling_;
  ModelFlags model_;
  std::optional<int32_t> top_logprobs_;
  std::optional<int32_t> truncate_prompt_;
  bool explain_ = false;
  int32_t explained_candidates_ = 8;
  bool stop_at_context_ = false;
  bool logprobs_after_ = false;
  std::string format_ = "text";
  bool special_tokens_ = false;
  bool quiet_ = false;
};

}  // namespace

std::unique_ptr<Command> NewGenerateCommand() { return std::make_unique<GenerateCommand>(); }

}  // namespace hocket
