// `hocket chat`: a conversation on the terminal, or one piped in line by line.
#include <unistd.h>

#include <algorithm>
#include <memory>
#include <string>

#include "CLI/CLI.hpp"
#include "absl/strings/str_cat.h"
#include "absl/strings/strip.h"
#include "service/cli/chat_history.h"
#include "service/cli/command.h"
#include "service/cli/completion_facts.h"
#include "service/cli/interrupts.h"
#include "service/cli/line_reader.h"
#include "service/cli/local_model.h"
#include "service/cli/model_flags.h"
#include "service/cli/output.h"
#include "service/cli/sampling_flags.h"

namespace hocket {
namespace {

constexpr absl::string_view kHelp =
    "Write a message and press Enter. Ctrl-C stops the answer.\n"
    "  /reset   forget the conversation\n"
    "  /help    show this\n"
    "  /exit    leave (so does Ctrl-D)\n";

// One conversation with a loaded model.
class Conversation {
 public:
  Conversation(LocalModel* model, const SamplingFlags& sampling, const std::string& system,
               bool stats)
      : model_(model),
        sampling_(sampling),
        history_(system),
        stats_(stats),
        terminal_(isatty(STDIN_FILENO) == 1) {}

  absl::Status Run() {
    LineReader reader(STDIN_FILENO);
    std::string line;
    if (terminal_) WriteNote("type /help for help, Ctrl-D to leave");
    while (true) {
      if (absl::Status status = Prompt(); !status.ok()) return status;
      const LineReader::Event event = reader.Next(&line);
      if (event == LineReader::Event::kEnd) return terminal_ ? WriteOutput("\n") : absl::OkStatus();
      if (event == LineReader::Event::kInterrupt) {
        Interrupts::Clear();
        if (absl::Status status = WriteOutput("\n"); !status.ok()) return status;
        WriteNote("Ctrl-D or /exit leaves");
        continue;
      }
      const std::string message(absl::StripAsciiWhitespace(line));
      if (message == "/exit" || message == "/quit") return absl::OkStatus();
      if (absl::Status status = Take(message); !status.ok()) return status;
    }
  }

 private:
  absl::Status Prompt() const { return terminal_ ? WriteOutput("> ") : absl::OkStatus(); }

  absl::Status Take(const std::string& message) {
    if (message.empty()) return absl::OkStatus();
    if (message == "/help") return WriteOutput(kHelp);
    if (message == "/reset") {
      history_.Reset();
      WriteNote("the conversation is forgotten");
      return absl::OkStatus();
    }
    if (message[0] == '/') {
      WriteNote(absl::StrCat("there is no command ", message, "; /help lists them"));
      return absl::OkStatus();
    }
    return Answer(message);
  }

  absl::StatusOr<std::vector<TokenId>> Render(const std::vector<ChatMessage>& messages) const {
    absl::StatusOr<std::string> prompt = model_->text().RenderChat(messages, true);
    if (!prompt.ok()) return prompt.status();
    return model_->text().Encode(*prompt, /*add_special_tokens=*/false);
  }

  // Adds `message` and the answer to the history. Only what makes further answers impossible is an
  // error; what is wrong with this message is said, and the message forgotten.
  absl::Status Answer(const std::string& message) {
    const int64_t context = model_->info().max_context_tokens;
    const int64_t reserve = std::min<int64_t>(sampling_.max_new_tokens, context / 2);
    history_.Add("user", message);
    absl::StatusOr<ChatHistory::Fitted> fitted =
        history_.Fit([this](const auto& messages) { return Render(messages); }, context - reserve);
    if (!fitted.ok()) {
      history_.RemoveLast();
      WriteNote(fitted.status().message());
      return absl::OkStatus();
    }
    if (fitted->dropped_messages > 0) {
      WriteNote(absl::StrCat("the ", fitted->dropped_messages,
                             " oldest messages no longer fit the ", context,
                             " tokens of context and are forgotten"));
    }
    return Generate(*std::move(fitted));
  }

  absl::Status Generate(ChatHistory::Fitted fitted) {
    absl::StatusOr<GenerationSpec> spec = sampling_.MakeSpec(model_->info(), model_->text());
    if (!spec.ok()) return spec.status();
    absl::StatusOr<std::unique_ptr<Completion>> completion =
        model_->Start(std::move(fitted.prompt), *spec, spec->stopping.max_new_tokens);
    if (!completion.ok()) return completion.status();
    Interrupts::Clear();
    absl::StatusOr<CompletionResult> result =
        (*completion)
            ->Collect([](const Outcome& outcome) { return WriteOutput(outcome.text); },
                      /*stops_on_interrupt=*/true);
    const bool interrupted = Interrupts::Raised();
    Interrupts::Clear();
    if (!result.ok()) return result.status();
    history_.Add("assistant", result->text);
    const absl::Status written = WriteOutput(interrupted ? " ...\n" : "\n");
    if (stats_) WriteNote(CompletionFacts(*spec, *result));
    return written;
  }

  LocalModel* model_;
  SamplingFlags sampling_;
  ChatHistory history_;
  bool stats_;
  bool terminal_;
};

class ChatCommand final : public Command {
 public:
  absl::string_view name() const override { return "chat"; }
  absl::string_view summary() const override {
    return "Talk with the model; Ctrl-C stops an answer";
  }

  void AddFlags(CLI::App& app) override {
    app.add_option("--system", system_, "The system message")->type_name("TEXT");
    app.add_flag("--stats", stats_, "A line of facts on stderr after each answer");
    sampling_.AddSampling(app);
    sampling_.AddStopping(app);
    model_.Add(app);
  }

  absl::Status Check() override { return sampling_.Check(); }

  absl::StatusOr<int> Run() override {
    absl::StatusOr<RuntimeSettings> settings = model_.Resolve();
    if (!settings.ok()) return settings.status();
    absl::StatusOr<std::unique_ptr<LocalModel>> model = LocalModel::Load(*settings);
    if (!model.ok()) return model.status();
    if (!(*model)->text().has_chat_template()) {
      return absl::FailedPreconditionError(absl::StrCat(
          "--model: ", settings->model_dir,
          " has no chat template (use \"hocket generate\", or a model that was made to chat)"));
    }
    Interrupts::Install();
    Conversation conversation(model->get(), sampling_, system_, stats_);
    if (absl::Status status = conversation.Run(); !status.ok()) return status;
    return 0;
  }

 private:
  SamplingFlags sampling_;
  ModelFlags model_;
  std::string system_;
  bool stats_ = false;
};

}  // namespace

std::unique_ptr<Command> NewChatCommand() { return std::make_unique<ChatCommand>(); }

}  // namespace hocket
