// The file that --config names: TOML (https://toml.io, 1.0), each key a flag's long name, an array
// where a flag may be given several times. No tables. Main thread.
#ifndef HOCKET_SERVICE_CLI_CONFIG_FILE_H_
#define HOCKET_SERVICE_CLI_CONFIG_FILE_H_

#include <istream>
#include <string>
#include <vector>

#include "CLI/CLI.hpp"

namespace hocket {

// Reads config files for `app`, which must outlive it. What is wrong with a file is thrown as
// CLI::ConfigError (within the command line's code only) with a message that names the line.
class TomlConfig final : public CLI::Config {
 public:
  explicit TomlConfig(const CLI::App* app) : app_(app) {}
  std::vector<CLI::ConfigItem> from_config(std::istream& input) const override;
  std::string to_config(const CLI::App* app, bool default_also, bool write_description,
                        std::string prefix) const override;

 private:
  const CLI::App* const app_;
};

// As a file says it: numbers and true and false bare, everything else as a string.
std::string TomlValue(const std::string& value);

}  // namespace hocket

#endif  // HOCKET_SERVICE_CLI_CONFIG_FILE_H_
