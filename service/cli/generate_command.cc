// `hocket generate`: one prompt in, its continuation streamed to stdout, one line of facts to
// stderr.
#include <unistd.h>

#include <limits>
#include <memory>
#include <optional>
#include <string>

#include "CLI/CLI.hpp"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "service/cli/choice_flags.h"
#include "service/cli/choices_text.h"
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
    choices_.Add(app);
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
    if (explain_ && choices_.beam()) {
      return absl::InvalidArgumentError("--explain: --beam-width draws nothing to explain");
    }
    if (absl::Status status = choices_.Check(); !status.ok()) return status;
    return sampling_.Check();
  }

  absl::StatusOr<int> Run() override {
    absl::StatusOr<RuntimeSettings> settings = model_.Resolve();
    if (!settings.ok()) return settings.status();
    absl::StatusOr<std::unique_ptr<LocalModel>> model = LocalModel::Load(*settings);
    if (!model.ok()) return model.status();
    absl::StatusOr<GenerationSpec> spec =
        sampling_.MakeSpec(choices_.Recommending((*model)->info()), (*model)->text());
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
    return Generate(**model, *std::move(spec), *std::move(prompt));
  }

 private:
  absl::StatusOr<int> Generate(LocalModel& model, GenerationSpec spec,
                               std::vector<TokenId> prompt) const {
    Interrupts::Install();
    const bool json = format_ == "json";
    const bool several = choices_.several();
    int32_t max_new_tokens = 0;
    absl::StatusOr<RequestShape> shape =
        choices_.Apply(model.info(), static_cast<int64_t>(prompt.size()), spec, max_new_tokens);
    if (!shape.ok()) return shape.status();
    absl::StatusOr<std::unique_ptr<Completion>> completion =
        model.Start(std::move(prompt), spec, max_new_tokens, *shape);
    if (!completion.ok()) return completion.status();
    absl::StatusOr<std::vector<CompletionResult>> results =
        (*completion)
            ->CollectChoices(
                [&](const Outcome& outcome) {
                  return json || explain_ || several ? absl::OkStatus() : WriteOutput(outcome.text);
                },
                /*stops_on_interrupt=*/true);
    if (!results.ok()) return results.status();
    const CompletionResult& first = results->front();
    std::string end = several ? ChoicesText(*results, model.text()) : "\n";
    if (explain_ && !several) {
      end = absl::StrCat(ExplanationText(first.explanations, model.text()), "\n", first.text, "\n");
    }
    if (json) {
      end = JsonLine(several ? ChoicesJson(model.info(), spec, *shape, *results)
                             : CompletionJson(model.info(), spec, first));
    }
    const absl::Status written = WriteOutput(end);
    if (!written.ok()) return written;
    if (!quiet_) {
      WriteNote(several ? ChoicesFacts(spec, *results) : CompletionFacts(spec, first));
    }
    return Interrupts::Raised() ? kExitInterrupted : 0;
  }

  PromptFlags prompt_;
  SamplingFlags sampling_;
  ChoiceFlags choices_;
  ModelFlags model_;
  std::optional<int32_t> top_logprobs_;
  std::optional<int32_t> truncate_prompt_;
  bool explain_ = false;
  int32_t explained_candidates_ = 8;
  bool logprobs_after_ = false;
  std::string format_ = "text";
  bool special_tokens_ = false;
  bool quiet_ = false;
};

}  // namespace

std::unique_ptr<Command> NewGenerateCommand() { return std::make_unique<GenerateCommand>(); }

}  // namespace hocket
