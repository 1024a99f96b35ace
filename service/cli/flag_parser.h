// From words, environment variables and a config file to what a command's flags set, with one
// precedence: the command line, the environment, the file, the default. Main thread.
#ifndef HOCKET_SERVICE_CLI_FLAG_PARSER_H_
#define HOCKET_SERVICE_CLI_FLAG_PARSER_H_

#include <map>
#include <span>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"

namespace CLI {
class App;
class Option;
}  // namespace CLI

namespace hocket {

enum class FlagSource { kDefault, kFile, kEnvironment, kCommandLine };

struct ParsedFlags {
  bool help = false;                          // --help was given; nothing else was looked at.
  std::map<std::string, FlagSource> sources;  // By the flag's long name, "--top-p".
};

// Sets up a new `app` as ParseFlags wants it, before any flags are added.
void PrepareFlags(CLI::App& app);

// Parses into what the flags of `app` point to. `words` are those after the command's name.
// INVALID_ARGUMENT with one line that names the flag, the file's line or the variable.
absl::StatusOr<ParsedFlags> ParseFlags(CLI::App& app, std::span<const std::string> words);

// The flag's own spelling on the command line, "--top-p"; empty for positionals.
std::string LongName(const CLI::Option& option);

// For each variable of the environment that begins with HOCKET_ and belongs to no flag of `app`, a
// line that names it and what it may have been meant to be. `known` ones are left out.
std::vector<std::string> UnknownVariables(const CLI::App& app,
                                          std::span<const std::string> environment,
                                          std::span<const std::string> known);

}  // namespace hocket

#endif  // HOCKET_SERVICE_CLI_FLAG_PARSER_H_
