#include "service/cli/command_line.h"

#include <algorithm>
#include <csignal>
#include <cstdio>
#include <cstdlib>
#include <map>
#include <optional>

#include "CLI/CLI.hpp"
#include "absl/strings/ascii.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "absl/strings/str_join.h"
#include "absl/strings/str_replace.h"
#include "absl/strings/str_split.h"
#include "absl/strings/strip.h"
#include "service/cli/edit_distance.h"
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

// The flag's own spelling on the command line, "--top-p"; empty for positionals.
std::string LongName(const CLI::Option& option) {
  const auto& names = option.get_lnames();
  return names.empty() ? "" : absl::StrCat("--", names.front());
}

bool IsGiven(const CLI::Option& option, std::span<const std::string> arguments) {
  return std::any_of(arguments.begin(), arguments.end(), [&option](const std::string& argument) {
    const absl::string_view word = absl::string_view(argument).substr(0, argument.find('='));
    if (word.size() < 2 || word[0] != '-') return false;
    if (word[1] == '-') return option.check_lname(std::string(word.substr(2)));
    return option.check_sname(std::string(word.substr(1, 1)));
  });
}

// Flags that the environment sets and the command line does not, as arguments. CLI11 would let the
// config file win over the environment; operators expect the opposite.
std::vector<std::string> FromEnvironment(const CLI::App& app,
                                         std::span<const std::string> arguments,
                                         std::map<std::string, std::string>* variables) {
  std::vector<std::string> added;
  for (const CLI::Option* option : app.get_options()) {
    const std::string variable = option->get_envname();
    const char* value = variable.empty() ? nullptr : std::getenv(variable.c_str());
    if (value == nullptr || *value == '\0' || IsGiven(*option, arguments)) continue;
    added.push_back(absl::StrCat(LongName(*option), "=", value));
    (*variables)[LongName(*option)] = variable;
  }
  return added;
}

// CLI11's message as one line in this program's words.
std::string Explain(const CLI::ParseError& error,
                    const std::map<std::string, std::string>& variables) {
  std::string message = absl::StrReplaceAll(error.what(), {{"\n", " "}});
  absl::string_view rest = message;
  if (absl::ConsumePrefix(&rest, "INI was not able to parse ")) {
    message = absl::StrCat("--config: there is no setting \"", rest, "\"");
  } else if (absl::ConsumeSuffix(&rest, " was not readable (missing?)")) {
    message = absl::StrCat("--config: cannot read \"", rest, "\"");
  }
  const std::string flag = message.substr(0, message.find(':'));
  if (const auto found = variables.find(flag); found != variables.end()) {
    absl::StrAppend(&message, " (set by ", found->second, ")");
  }
  return message;
}

std::string UnknownArgument(const CLI::App& app, const std::string& argument) {
  if (argument.size() < 2 || argument[0] != '-') {
    return absl::StrCat("\"", argument, "\" was not expected");
  }
  std::vector<std::string> flags;
  for (const CLI::Option* option : app.get_options()) flags.push_back(LongName(*option));
  const std::string flag = argument.substr(0, argument.find('='));
  const std::optional<std::string> near = Nearest(flag, flags);
  return absl::StrCat("there is no flag ", flag,
                      near ? absl::StrCat("; did you mean ", *near) : "");
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
  app.get_formatter()->column_width(34);
  app.allow_extras();
  app.allow_config_extras(CLI::config_extras_mode::error);
  app.option_defaults()->multi_option_policy(CLI::MultiOptionPolicy::TakeLast);
  command.AddFlags(app);

  std::map<std::string, std::string> variables;
  std::vector<std::string> words = FromEnvironment(app, arguments, &variables);
  words.insert(words.end(), arguments.begin(), arguments.end());
  std::reverse(words.begin(), words.end());  // The order that CLI11 takes.
  try {
    app.parse(words);
  } catch (const CLI::CallForHelp&) {
    const absl::Status written = WriteOutput(app.help());
    return written.ok() ? 0 : kExitOutputClosed;
  } catch (const CLI::ParseError& error) {
    return UsageError(Explain(error, variables), help);
  }
  if (const std::vector<std::string> extras = app.remaining(); !extras.empty()) {
    return UsageError(UnknownArgument(app, extras.front()), help);
  }
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
