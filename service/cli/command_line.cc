#include "service/cli/command_line.h"

#include <algorithm>
#include <csignal>
#include <cstdio>
#include <optional>

#include "CLI/CLI.hpp"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "absl/strings/str_join.h"
#include "absl/strings/str_replace.h"
#include "absl/strings/str_split.h"
#include "absl/strings/strip.h"
#include "service/cli/edit_distance.h"
#include "service/cli/flag_parser.h"
#include "service/cli/output.h"

#ifndef HOCKET_VERSION
#define HOCKET_VERSION "unknown"
#endif

namespace hocket {
namespace {

std::string Overview(std::span<const std::unique_ptr<Command>> commands) {
  std::string text =
      "Hocket serves open-weight language models on CPUs.\n\nUsage: hocket COMMAND [FLAGS]\n\n";
  for (const auto& command : commands) {
    absl::StrAppendFormat(&text, "  %-16s%s\n", std::string(command->name()),
                          std::string(command->summary()));
  }
  absl::StrAppend(&text, "\n\"hocket COMMAND --help\" lists a command's flags.\n");
  return text;
}

int UsageError(absl::string_view message, absl::string_view help) {
  WriteNote(absl::StrCat(message, "; see \"", help, "\""));
  return kExitUsage;
}

// Those of the command names that begin with `word`, as " (decode, kv-cache)".
std::vector<std::string> SecondWords(std::span<const std::unique_ptr<Command>> commands,
                                     absl::string_view word) {
  std::vector<std::string> words;
  for (const auto& command : commands) {
    absl::string_view rest = command->name();
    if (absl::ConsumePrefix(&rest, absl::StrCat(word, " "))) words.emplace_back(rest);
  }
  return words;
}

int NoSuchCommand(std::span<const std::unique_ptr<Command>> commands,
                  std::span<const std::string> arguments) {
  const std::string& word = arguments[0];
  if (const std::vector<std::string> seconds = SecondWords(commands, word); !seconds.empty()) {
    return UsageError(absl::StrCat("\"", word, "\" needs one of ", absl::StrJoin(seconds, ", ")),
                      "hocket --help");
  }
  std::vector<std::string> names;
  for (const auto& command : commands) names.emplace_back(command->name());
  const std::optional<std::string> near = Nearest(word, names);
  return UsageError(absl::StrCat("there is no command \"", word, "\"",
                                 near ? absl::StrCat("; did you mean \"", *near, "\"") : ""),
                    "hocket --help");
}

int Execute(Command& command) {
  const absl::StatusOr<int> exit_status = command.Run();
  if (exit_status.ok()) return *exit_status;
  if (IsOutputClosed(exit_status.status())) return kExitOutputClosed;
  WriteNote(absl::StrReplaceAll(exit_status.status().message(), {{"\n", " "}}));
  return kExitFailure;
}

int ParseAndRun(Command& command, std::span<const std::string> arguments) {
  const std::string name = absl::StrCat("hocket ", command.name());
  const std::string help = absl::StrCat(name, " --help");
  CLI::App app(std::string(command.summary()), name);
  PrepareFlags(app);
  command.AddFlags(app);
  const absl::StatusOr<ParsedFlags> parsed = ParseFlags(app, arguments);
  if (!parsed.ok()) return UsageError(parsed.status().message(), help);
  if (parsed->help) {
    const absl::Status written = WriteOutput(app.help());
    return written.ok() ? 0 : kExitOutputClosed;
  }
  command.NoteFlags(app, *parsed, arguments);
  if (const absl::Status status = command.Check(); !status.ok()) {
    return UsageError(status.message(), help);
  }
  return Execute(command);
}

bool Names(const Command& command, std::span<const std::string> words) {
  return absl::StrJoin(words, " ") == command.name();
}

}  // namespace

int RunCommandLine(std::span<const std::unique_ptr<Command>> commands,
                   std::span<const std::string> arguments) {
  std::signal(SIGPIPE, SIG_IGN);
  if (arguments.empty()) {
    WriteNote(absl::StrCat("give a command; see \"hocket --help\""));
    return kExitUsage;
  }
  if (arguments[0] == "--help" || arguments[0] == "-h" || arguments[0] == "help") {
    return WriteOutput(Overview(commands)).ok() ? 0 : kExitOutputClosed;
  }
  if (arguments[0] == "--version") {
    return WriteOutput("hocket " HOCKET_VERSION "\n").ok() ? 0 : kExitOutputClosed;
  }
  for (const auto& command : commands) {
    const size_t words = std::count(command->name().begin(), command->name().end(), ' ') + 1;
    if (arguments.size() >= words && Names(*command, arguments.first(words))) {
      return ParseAndRun(*command, arguments.subspan(words));
    }
  }
  return NoSuchCommand(commands, arguments);
}

}  // namespace hocket
