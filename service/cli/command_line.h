// From argv to a command's exit status: finds the command, parses its flags, its config file and
// its environment variables (in that order of precedence), runs it, and reports errors as one line
// on stderr. Main thread.
#ifndef HOCKET_SERVICE_CLI_COMMAND_LINE_H_
#define HOCKET_SERVICE_CLI_COMMAND_LINE_H_

#include <memory>
#include <span>
#include <string>
#include <vector>

#include "service/cli/command.h"

namespace hocket {

constexpr int kExitFailure = 1;
constexpr int kExitUsage = 2;
constexpr int kExitInterrupted = 130;   // As a shell reports SIGINT.
constexpr int kExitOutputClosed = 141;  // As a shell reports SIGPIPE.

// `arguments` are those after the program's name.
int RunCommandLine(std::span<const std::unique_ptr<Command>> commands,
                   std::span<const std::string> arguments);

}  // namespace hocket

#endif  // HOCKET_SERVICE_CLI_COMMAND_LINE_H_
