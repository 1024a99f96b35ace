// `hocket score`: the log-probability that the model gives to each token of a given text.
#include <unistd.h>

#include <algorithm>
#include <deque>
#include <memory>
#include <optional>
#include <string>

#include "CLI/CLI.hpp"
#include "absl/strings/escaping.h"
#include "absl/strings/str_cat.h"
#include "service/cli/command.h"
#include "service/cli/flag_checks.h"
#include "service/cli/local_model.h"
#include "service/cli/model_flags.h"
#include "service/cli/output.h"
#include "service/cli/prompt_flags.h"
#include "service/cli/score_report.h"
#include "service/cli/score_windows.h"
#include "service/cli/stage_progress.h"

namespace hocket {
namespace {

constexpr size_t kWindowsInFlight = 8;

class ScoreCommand final : public Command {
 public:
  absl::string_view name() const override { return "score"; }
  absl::string_view summary() const override {
    return "Log-probabilities of given tokens or text, and its perplexity";
  }

  void AddFlags(CLI::App& app) override {
    app.add_option("--tokens", tokens_, "Token ids to score: 1,2,3")
        ->check(TokenList())
        ->type_name("IDS");
    app.add_option("--tokens-file", tokens_file_, "Read the token ids from a file (- is stdin)")
        ->type_name("FILE");
    app.add_option("-p,--text", text_, "Text to score (- is stdin)")->type_name("TEXT");
    app.add_option(
           "--text-file", text_file_,
           "Score a text of any length (- is stdin) in windows of the context; prints the mean")
        ->type_name("FILE");
    app.add_flag("--no-special-tokens", no_special_tokens_,
                 "Do not add what the tokenizer adds to a text, its beginning-of-text token say");
    app.add_option("--top", top_, "Most likely tokens to list at each position")
        ->check(WholeNumber(0, 20))
        ->capture_default_str()
        ->type_name("N");
    app.add_option("--window", window_, "With --text-file: tokens per window (0: the context)")
        ->check(WholeNumber(0, 1 << 30))
        ->capture_default_str()
        ->type_name("N");
    app.add_option("--overlap", overlap_,
                   "With --text-file: tokens of a window that are context only, not counted again")
        ->check(WholeNumber(1, 1 << 30))
        ->capture_default_str()
        ->type_name("N");
    app.add_option("--format", format_, "text or json")
        ->check(CLI::IsMember({"text", "json"}))
        ->capture_default_str();
    model_.Add(app);
  }

  absl::Status Check() override {
    if (tokens_.has_value() + tokens_file_.has_value() + text_.has_value() +
            text_file_.has_value() !=
        1) {
      return absl::InvalidArgumentError(
          "give one of --tokens, --tokens-file, --text and --text-file");
    }
    return absl::OkStatus();
  }

  absl::StatusOr<int> Run() override {
    absl::StatusOr<RuntimeSettings> settings = model_.Resolve();
    if (!settings.ok()) return settings.status();
    absl::StatusOr<std::unique_ptr<LocalModel>> model = LocalModel::Load(*settings);
    if (!model.ok()) return model.status();
    absl::StatusOr<std::vector<TokenId>> tokens = Tokens(**model);
    if (!tokens.ok()) return tokens.status();
    const absl::Status status =
        text_file_ ? ScoreLong(**model, *tokens) : ScoreShort(**model, *std::move(tokens));
    if (!status.ok()) return status;
    return 0;
  }

 private:
  absl::StatusOr<std::vector<TokenId>> Tokens(const LocalModel& model) const {
    const int32_t vocabulary_size = model.info().vocabulary_size;
    if (tokens_) return ReadTokens("--tokens", *tokens_, vocabulary_size);
    if (tokens_file_) {
      absl::StatusOr<std::string> list = ReadInput("--tokens-file", *tokens_file_);
      if (!list.ok()) return list.status();
      return ReadTokens("--tokens-file", *list, vocabulary_size);
    }
    absl::StatusOr<std::string> text = text_file_      ? ReadInput("--text-file", *text_file_)
                                       : *text_ == "-" ? ReadInput("--text", "-")
                                                       : *text_;
    if (!text.ok()) return text.status();
    absl::StatusOr<std::vector<TokenId>> tokens = model.text().Encode(*text, !no_special_tokens_);
    if (tokens.ok() && tokens->empty()) {
      return absl::InvalidArgumentError(text_file_ ? "--text-file: the file is empty"
                                                   : "--text: the text is empty");
    }
    return tokens;
  }

  static absl::StatusOr<std::unique_ptr<Completion>> StartScoring(LocalModel& model,
                                                                  std::vector<TokenId> tokens,
                                                                  int32_t top) {
    GenerationSpec spec;
    spec.sampling.temperature = 0;
    spec.output.prompt_logprobs = true;
    spec.output.prompt_top_logprobs = top;
    return model.Start(std::move(tokens), spec, /*max_new_tokens=*/0);
  }

  // The scores of `tokens`, one per token but the first.
  static absl::StatusOr<std::vector<TokenScore>> Finish(Completion& completion, size_t tokens) {
    absl::StatusOr<CompletionResult> result =
        completion.Collect(nullptr, /*stops_on_interrupt=*/false);
    if (!result.ok()) return result.status();
    if (!result->finished.status.ok()) return result->finished.status;
    if (result->prompt_scores.size() + 1 != tokens) {
      return absl::InternalError(absl::StrCat("the engine scored ", result->prompt_scores.size(),
                                              " of ", tokens - 1, " tokens"));
    }
    return std::move(result->prompt_scores);
  }

  absl::Status ScoreShort(LocalModel& model, std::vector<TokenId> tokens) const {
    if (const int32_t context = model.info().max_context_tokens;
        tokens.size() > static_cast<size_t>(context)) {
      return absl::InvalidArgumentError(
          absl::StrCat("the text takes ", tokens.size(), " tokens and the model's context is ",
                       context, " (use --text-file, which scores in windows)"));
    }
    absl::StatusOr<std::unique_ptr<Completion>> completion = StartScoring(model, tokens, top_);
    if (!completion.ok()) return completion.status();
    absl::StatusOr<std::vector<TokenScore>> scores = Finish(**completion, tokens.size());
    if (!scores.ok()) return scores.status();
    if (format_ == "json") return WriteOutput(ScoreJson(tokens, *scores));
    return WriteOutput(ScoreTable(tokens, *scores, [&model](TokenId token) {
      return absl::Utf8SafeCEscape(model.text().IdToPiece(token).value_or("?"));
    }));
  }

  absl::Status ScoreLong(LocalModel& model, const std::vector<TokenId>& tokens) const {
    const int64_t context = model.info().max_context_tokens;
    const int64_t window = window_ > 0 ? window_ : context;
    if (window > context || window < 2 || overlap_ >= window) {
      return absl::InvalidArgumentError(absl::StrCat("--window: ", window,
                                                     " must be from 2 to the context of ", context,
                                                     " and above --overlap ", overlap_));
    }
    const std::vector<ScoreWindow> windows = ScoreWindows(tokens.size(), window, overlap_);
    std::deque<std::unique_ptr<Completion>> running;
    StageProgress progress = StageProgress::OnStderr();
    LikelihoodSum sum;
    size_t started = 0;
    for (size_t i = 0; i < windows.size(); ++i) {
      while (started < windows.size() && running.size() < kWindowsInFlight) {
        const ScoreWindow& next = windows[started++];
        absl::StatusOr<std::unique_ptr<Completion>> completion = StartScoring(
            model, {tokens.begin() + next.begin, tokens.begin() + next.end}, /*top=*/0);
        if (!completion.ok()) return completion.status();
        running.push_back(*std::move(completion));
      }
      const ScoreWindow& current = windows[i];
      absl::StatusOr<std::vector<TokenScore>> scores =
          Finish(*running.front(), current.end - current.begin);
      running.pop_front();
      if (!scores.ok()) return scores.status();
      for (int64_t position = current.count_from; position < current.end; ++position) {
        sum.Add((*scores)[position - current.begin - 1].logprob);
      }
      progress.Show("scoring", static_cast<double>(i + 1) / static_cast<double>(windows.size()));
    }
    progress.Finish();
    if (format_ == "json") {
      return WriteOutput(LikelihoodJson(sum, static_cast<int64_t>(windows.size())));
    }
    return WriteOutput(absl::StrCat(LikelihoodText(sum), ", ", windows.size(), " windows\n"));
  }

  ModelFlags model_;
  std::optional<std::string> tokens_;
  std::optional<std::string> tokens_file_;
  std::optional<std::string> text_;
  std::optional<std::string> text_file_;
  bool no_special_tokens_ = false;
  int32_t top_ = 5;
  int64_t window_ = 0;
  int64_t overlap_ = 1;
  std::string format_ = "text";
};

}  // namespace

std::unique_ptr<Command> NewScoreCommand() { return std::make_unique<ScoreCommand>(); }

}  // namespace hocket
