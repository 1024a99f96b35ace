// One thing that the binary does: `hocket generate`, `hocket bench decode`. A command owns what its
// flags set; it is used once, on the main thread.
#ifndef HOCKET_SERVICE_CLI_COMMAND_H_
#define HOCKET_SERVICE_CLI_COMMAND_H_

#include <memory>
#include <span>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "service/cli/flag_parser.h"

namespace hocket {

class Command {
 public:
  virtual ~Command() = default;
  virtual absl::string_view name() const = 0;     // One word, or two: "bench decode".
  virtual absl::string_view summary() const = 0;  // One line for the list of commands.
  virtual void AddFlags(CLI::App& app) = 0;

  // The flags have been parsed; `app` lives as long as the command runs. For what wants to know
  // where a value came from, or to parse again.
  virtual void NoteFlags(const CLI::App&, const ParsedFlags&, std::span<const std::string>) {}

  // Whether the flags make sense together, before anything is loaded. An error is one of usage.
  virtual absl::Status Check() { return absl::OkStatus(); }

  // The exit status, or an error whose message is one line that says what to do.
  virtual absl::StatusOr<int> Run() = 0;
};

std::unique_ptr<Command> NewServeCommand();
std::unique_ptr<Command> NewMakeKeyCommand();
std::unique_ptr<Command> NewReplayCommand();
std::unique_ptr<Command> NewGenerateCommand();
std::unique_ptr<Command> NewChatCommand();
std::unique_ptr<Command> NewScoreCommand();
std::unique_ptr<Command> NewCompareCommand();
std::unique_ptr<Command> NewBenchKvCacheCommand();
std::unique_ptr<Command> NewBenchDecodeCommand();

}  // namespace hocket

#endif  // HOCKET_SERVICE_CLI_COMMAND_H_
