// A command's settings as they are in effect: each flag's value and where it came from. What
// --print-config shows, and what a reload compares. Pure; main thread.
#ifndef HOCKET_SERVICE_CLI_SETTINGS_LIST_H_
#define HOCKET_SERVICE_CLI_SETTINGS_LIST_H_

#include <span>
#include <string>
#include <vector>

#include "service/cli/flag_parser.h"

namespace hocket {

struct Setting {
  std::string name;  // As the config file has it: "drain-seconds".
  std::string group;
  std::vector<std::string> values;  // None: it is not set, and has no default that is a value.
  bool takes_many = false;
  FlagSource source = FlagSource::kDefault;
  std::string variable;  // Of the environment.
};

// Of the flags of `app`, in their order, that a config file may hold.
std::vector<Setting> SettingsOf(const CLI::App& app, const ParsedFlags& parsed);

// A file that --config reads, with each setting's source in a comment above it.
std::string ConfigFileText(std::span<const Setting> settings);

// The names of those whose values differ. Both lists are of the same flags.
std::vector<std::string> ChangedSettings(std::span<const Setting> before,
                                         std::span<const Setting> after);

}  // namespace hocket

#endif  // HOCKET_SERVICE_CLI_SETTINGS_LIST_H_
