// `hocket compare`: one prompt at several settings, side by side. All settings run as one batch.
#include <algorithm>
#include <memory>
#include <optional>
#include <string>

#include "CLI/CLI.hpp"
#include "absl/strings/ascii.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "absl/strings/str_join.h"
#include "service/cli/columns.h"
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
#include "service/cli/settings_grid.h"

namespace hocket {
namespace {

class CompareCommand final : public Command {
 public:
  absl::string_view name() const override { return "compare"; }
  absl::string_view summary() const override {
    return "One prompt at several settings, side by side";
  }

  void AddFlags(CLI::App& app) override {
    prompt_.Add(app);
    app.add_option("-t,--temperature", temperatures_, "Temperatures: 0,0.7,1.2")
        ->check(NumberList(0, std::numeric_limits<float>::max()))
        ->type_name("LIST");
    app.add_option("--top-k", top_ks_, "Top-k values: 0,40 (0: all)")
        ->check(WholeNumberList(0, std::numeric_limits<int32_t>::max()))
        ->type_name("LIST");
    app.add_option("--top-p", top_ps_, "Top-p values: 0.9,1")
        ->check(NumberList(0, 1, /*above_low=*/true))
        ->type_name("LIST");
    app.add_option("--probabilities", probabilities_,
                   "Show how likely the model found each token: off, shade or number")
        ->check(CLI::IsMember({"off", "shade", "number"}))
        ->capture_default_str();
    app.add_flag("--zip", zip_,
                 "Pair the lists' first entries, second entries, ... instead of crossing them");
    sampling_.AddStopping(app);
    app.add_option("--format", format_, "text, or json: a list of completions")
        ->check(CLI::IsMember({"text", "json"}))
        ->capture_default_str();
    model_.Add(app);
  }

  absl::Status Check() override {
    absl::StatusOr<SettingsLists> lists = SettingsLists::Parse(
        temperatures_.value_or(""), top_ks_.value_or(""), top_ps_.value_or(""));
    if (!lists.ok()) return lists.status();
    if (lists->temperatures.empty() && lists->top_ks.empty() && lists->top_ps.empty()) {
      lists->temperatures = {0, 0.7, 1.2};
    }
    absl::StatusOr<std::vector<SettingsChoice>> choices = SettingsGrid(*lists, zip_);
    if (!choices.ok()) return choices.status();
    choices_ = *std::move(choices);
    if (absl::Status status = prompt_.Check(); !status.ok()) return status;
    return sampling_.Check();
  }

  absl::StatusOr<int> Run() override {
    absl::StatusOr<RuntimeSettings> settings = model_.Resolve();
    if (!settings.ok()) return settings.status();
    absl::StatusOr<std::unique_ptr<LocalModel>> model = LocalModel::Load(*settings);
    if (!model.ok()) return model.status();
    absl::StatusOr<GenerationSpec> base = sampling_.MakeSpec((*model)->info(), (*model)->text());
    if (!base.ok()) return base.status();
    base->output.logprobs = probabilities_ != "off";
    absl::StatusOr<std::vector<TokenId>> prompt =
        prompt_.Resolve((*model)->text(), (*model)->info().vocabulary_size);
    if (!prompt.ok()) return prompt.status();
    std::vector<GenerationSpec> specs;
    for (const SettingsChoice& choice : choices_) specs.push_back(choice.Apply(*base));
    return Compare(**model, specs, *prompt);
  }

 private:
  absl::StatusOr<int> Compare(LocalModel& model, std::span<const GenerationSpec> specs,
                              const std::vector<TokenId>& prompt) const {
    Interrupts::Install();
    std::vector<std::unique_ptr<Completion>> running;
    for (const GenerationSpec& spec : specs) {
      absl::StatusOr<std::unique_ptr<Completion>> completion =
          model.Start(prompt, spec, spec.stopping.max_new_tokens);
      if (!completion.ok()) return completion.status();
      running.push_back(*std::move(completion));
    }
    std::vector<TextColumn> columns;
    nlohmann::ordered_json list = nlohmann::ordered_json::array();
    for (size_t i = 0; i < specs.size(); ++i) {
      absl::StatusOr<CompletionResult> result =
          running[i]->Collect(nullptr, /*stops_on_interrupt=*/true);
      if (!result.ok()) return result.status();
      list.push_back(CompletionJson(model.info(), specs[i], *result));
      columns.push_back({choices_[i].Title(), Body(model.text(), *result),
                         absl::StrFormat("(%d tokens, %s)", result->tokens.size(),
                                         FinishText(result->finished.finish))});
    }
    const absl::Status written =
        WriteOutput(format_ == "json" ? JsonLine(list) : LayoutColumns(columns, TerminalWidth()));
    if (!written.ok()) return written;
    if (format_ != "json") WriteNote(absl::StrCat("seed ", specs[0].sampling.seed));
    return Interrupts::Raised() ? kExitInterrupted : 0;
  }

  std::string Body(const ModelText& text, const CompletionResult& result) const {
    std::string body = result.text;
    if (probabilities_ == "shade") body = ShadedText(result.scores, text);
    if (probabilities_ == "number") body = NumberedText(result.scores, text);
    return probabilities_ == "number" ? body : std::string(absl::StripLeadingAsciiWhitespace(body));
  }

  PromptFlags prompt_;
  SamplingFlags sampling_;
  ModelFlags model_;
  std::optional<std::string> temperatures_;
  std::optional<std::string> top_ks_;
  std::optional<std::string> top_ps_;
  bool zip_ = false;
  std::string probabilities_ = "off";
  std::string format_ = "text";
  std::vector<SettingsChoice> choices_;
};

}  // namespace

std::unique_ptr<Command> NewCompareCommand() { return std::make_unique<CompareCommand>(); }

}  // namespace hocket
