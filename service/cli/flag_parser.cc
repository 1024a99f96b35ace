#include "service/cli/flag_parser.h"

#include <algorithm>
#include <cstdlib>
#include <memory>
#include <optional>

#include "CLI/CLI.hpp"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_replace.h"
#include "absl/strings/str_split.h"
#include "absl/strings/strip.h"
#include "service/cli/config_file.h"
#include "service/cli/edit_distance.h"
#include "service/cli/help_text.h"

namespace hocket {
namespace {

constexpr char kVariablePrefix[] = "HOCKET_";

bool TakesMany(const CLI::Option& option) {
  return option.get_multi_option_policy() == CLI::MultiOptionPolicy::TakeAll;
}

bool IsGiven(const CLI::Option& option, std::span<const std::string> words) {
  return std::any_of(words.begin(), words.end(), [&option](const std::string& given) {
    const absl::string_view word = absl::string_view(given).substr(0, given.find('='));
    if (word.size() < 2 || word[0] != '-') return false;
    if (word[1] == '-') return option.check_lname(std::string(word.substr(2)));
    return option.check_sname(std::string(word.substr(1, 1)));
  });
}

// Flags that the environment sets and the command line does not, as words. CLI11 would let the
// config file win over the environment; operators expect the opposite. `variables` gets the name of
// each by the flag's.
std::vector<std::string> FromEnvironment(const CLI::App& app, std::span<const std::string> words,
                                         std::map<std::string, std::string>& variables) {
  std::vector<std::string> added;
  for (const CLI::Option* option : app.get_options()) {
    const std::string variable = option->get_envname();
    const char* text = variable.empty() ? nullptr : std::getenv(variable.c_str());
    if (text == nullptr || *text == '\0' || IsGiven(*option, words)) continue;
    const std::string value = text;
    std::vector<std::string> values = {value};
    if (TakesMany(*option)) values = absl::StrSplit(value, ';', absl::SkipWhitespace());
    for (const std::string& each : values) {
      added.push_back(absl::StrCat(LongName(*option), "=", each));
    }
    variables[LongName(*option)] = variable;
  }
  return added;
}

// CLI11's message as one line in this program's words.
std::string Explain(const CLI::App& app, const CLI::ParseError& error,
                    std::span<const std::string> words,
                    const std::map<std::string, std::string>& variables) {
  std::string message = absl::StrReplaceAll(error.what(), {{"\n", " "}});
  absl::string_view rest = message;
  if (absl::ConsumeSuffix(&rest, " was not readable (missing?)")) {
    return absl::StrCat("--config: cannot read \"", rest, "\"");
  }
  const std::string flag = message.substr(0, message.find(':'));
  const CLI::Option* option = app.get_option_no_throw(flag);
  if (const auto found = variables.find(flag); found != variables.end()) {
    absl::StrAppend(&message, " (set by ", found->second, ")");
  } else if (option != nullptr && option->get_configurable() && !IsGiven(*option, words)) {
    absl::StrAppend(&message, " (set in the file of --config)");
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

FlagSource SourceOf(const CLI::Option& option, std::span<const std::string> words,
                    const std::map<std::string, std::string>& variables) {
  if (IsGiven(option, words)) return FlagSource::kCommandLine;
  if (variables.contains(LongName(option))) return FlagSource::kEnvironment;
  return option.count() > 0 ? FlagSource::kFile : FlagSource::kDefault;
}

}  // namespace

void PrepareFlags(CLI::App& app) {
  app.formatter(std::make_shared<HelpText>(/*names_variables=*/true));
  app.allow_extras();
  app.allow_config_extras(CLI::config_extras_mode::error);
  app.option_defaults()->multi_option_policy(CLI::MultiOptionPolicy::TakeLast);
  app.config_formatter(std::make_shared<TomlConfig>(&app));
}

absl::StatusOr<ParsedFlags> ParseFlags(CLI::App& app, std::span<const std::string> words) {
  ParsedFlags parsed;
  std::map<std::string, std::string> variables;
  std::vector<std::string> all = FromEnvironment(app, words, variables);
  all.insert(all.end(), words.begin(), words.end());
  std::reverse(all.begin(), all.end());  // The order that CLI11 takes.
  try {
    app.parse(all);
  } catch (const CLI::CallForHelp&) {
    parsed.help = true;
    return parsed;
  } catch (const CLI::ParseError& error) {
    return absl::InvalidArgumentError(Explain(app, error, words, variables));
  }
  if (const std::vector<std::string> extras = app.remaining(); !extras.empty()) {
    return absl::InvalidArgumentError(UnknownArgument(app, extras.front()));
  }
  for (const CLI::Option* option : app.get_options()) {
    parsed.sources[LongName(*option)] = SourceOf(*option, words, variables);
  }
  return parsed;
}

std::string LongName(const CLI::Option& option) {
  const auto& names = option.get_lnames();
  return names.empty() ? "" : absl::StrCat("--", names.front());
}

std::vector<std::string> UnknownVariables(const CLI::App& app,
                                          std::span<const std::string> environment,
                                          std::span<const std::string> known) {
  std::vector<std::string> variables(known.begin(), known.end());
  for (const CLI::Option* option : app.get_options()) {
    if (!option->get_envname().empty()) variables.push_back(option->get_envname());
  }
  std::vector<std::string> lines;
  for (const std::string& entry : environment) {
    const std::string name = entry.substr(0, entry.find('='));
    if (!absl::StartsWith(name, kVariablePrefix)) continue;
    if (std::find(variables.begin(), variables.end(), name) != variables.end()) continue;
    const std::optional<std::string> near = Nearest(name, variables);
    lines.push_back(absl::StrCat(name, " is in the environment and is no setting",
                                 near ? absl::StrCat("; did you mean ", *near) : ""));
  }
  return lines;
}

}  // namespace hocket
