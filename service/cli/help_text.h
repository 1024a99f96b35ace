// How a command's --help looks: each flag's names on a line of their own or before its description,
// which is broken at spaces. Main thread.
#ifndef HOCKET_SERVICE_CLI_HELP_TEXT_H_
#define HOCKET_SERVICE_CLI_HELP_TEXT_H_

#include <string>

#include "CLI/CLI.hpp"

namespace hocket {

class HelpText final : public CLI::Formatter {
 public:
  // `names_variables`: with each flag's variable of the environment.
  explicit HelpText(bool names_variables);

  std::string make_option_name(const CLI::Option* option, bool is_positional) const override;
  std::string make_option_opts(const CLI::Option* option) const override;
  std::string make_option_desc(const CLI::Option* option) const override;

 private:
  const bool names_variables_;
};

}  // namespace hocket

#endif  // HOCKET_SERVICE_CLI_HELP_TEXT_H_
