#include "service/cli/help_text.h"

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/strings/str_split.h"

namespace hocket {
namespace {

constexpr size_t kNamesWidth = 34;
constexpr size_t kTextWidth = 84;

// On or off, without a value.
bool IsSwitch(const CLI::Option& option) { return option.get_items_expected_max() == 0; }

}  // namespace

HelpText::HelpText(bool names_variables) : names_variables_(names_variables) {
  column_width(kNamesWidth);
}

std::string HelpText::make_option_name(const CLI::Option* option, bool is_positional) const {
  if (is_positional || !IsSwitch(*option)) {
    return CLI::Formatter::make_option_name(option, is_positional);
  }
  std::vector<std::string> names;
  for (const std::string& name : option->get_snames()) names.push_back(absl::StrCat("-", name));
  for (const std::string& name : option->get_lnames()) names.push_back(absl::StrCat("--", name));
  return absl::StrJoin(names, ",");
}

std::string HelpText::make_option_opts(const CLI::Option* option) const {
  const std::string variable = names_variables_ && !option->get_envname().empty()
                                   ? absl::StrCat(" (Env:", option->get_envname(), ")")
                                   : "";
  if (IsSwitch(*option)) return variable;
  std::string text = absl::StrCat(" ", option->get_type_name());
  if (!option->get_default_str().empty()) absl::StrAppend(&text, "=", option->get_default_str());
  if (option->get_expected_max() == CLI::detail::expected_max_vector_size) {
    absl::StrAppend(&text, " ...");
  }
  if (option->get_required()) absl::StrAppend(&text, " REQUIRED");
  return absl::StrCat(text, variable);
}

std::string HelpText::make_option_desc(const CLI::Option* option) const {
  std::string text;
  size_t width = 0;
  for (const absl::string_view word : absl::StrSplit(option->get_description(), ' ')) {
    const bool breaks = width > 0 && width + 1 + word.size() > kTextWidth;
    absl::StrAppend(&text, width == 0 ? "" : (breaks ? "\n" : " "), word);
    width = breaks ? word.size() : width + (width > 0 ? 1 : 0) + word.size();
  }
  return text;
}

}  // namespace hocket
