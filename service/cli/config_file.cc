#include "service/cli/config_file.h"

#include <optional>
#include <sstream>
#include <string_view>

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "service/cli/edit_distance.h"

#define TOML_EXCEPTIONS 0
#define TOML_HEADER_ONLY 1
#include <toml++/toml.h>

namespace hocket {
namespace {

[[noreturn]] void Fail(const toml::source_region& where, const std::string& message) {
  throw CLI::ConfigError(absl::StrCat("--config: line ", where.begin.line, ": ", message),
                         CLI::ExitCodes::ConfigError);
}

// The value as a flag would carry it; nothing for what no flag can be.
std::optional<std::string> FlagValue(const toml::node& node) {
  if (const auto* text = node.as_string()) return text->get();
  if (const auto* number = node.as_integer()) return absl::StrCat(number->get());
  if (const auto* truth = node.as_boolean()) return truth->get() ? "true" : "false";
  if (const auto* number = node.as_floating_point()) {
    std::ostringstream text;
    text.precision(17);
    text << number->get();
    return text.str();
  }
  return std::nullopt;
}

std::vector<std::string> FlagValues(const std::string& name, const toml::node& node) {
  std::vector<std::string> values;
  const auto add = [&](const toml::node& part) {
    std::optional<std::string> value = FlagValue(part);
    if (!value) Fail(part.source(), absl::StrCat("\"", name, "\" cannot be a table or a date"));
    values.push_back(*std::move(value));
  };
  if (const toml::array* array = node.as_array()) {
    for (const toml::node& part : *array) add(part);
  } else {
    add(node);
  }
  return values;
}

// The flag that a key names; one that cannot come from a file is no setting either.
const CLI::Option* FindSetting(const CLI::App& app, const std::string& name) {
  const CLI::Option* option = app.get_option_no_throw(absl::StrCat("--", name));
  return option != nullptr && option->get_configurable() ? option : nullptr;
}

std::string NoSuchSetting(const CLI::App& app, const std::string& name) {
  std::vector<std::string> settings;
  for (const CLI::Option* option : app.get_options()) {
    if (!option->get_configurable() || option->get_lnames().empty()) continue;
    settings.push_back(option->get_lnames().front());
  }
  const std::optional<std::string> near = Nearest(name, settings);
  return absl::StrCat("there is no setting \"", name, "\"",
                      near ? absl::StrCat("; did you mean \"", *near, "\"") : "");
}

}  // namespace

std::vector<CLI::ConfigItem> TomlConfig::from_config(std::istream& input) const {
  toml::parse_result parsed = toml::parse(input);
  if (!parsed) {
    Fail(parsed.error().source(), std::string(parsed.error().description()));
  }
  std::vector<CLI::ConfigItem> items;
  for (const auto& [key, node] : parsed.table()) {
    const std::string name(key.str());
    const CLI::Option* option = FindSetting(*app_, name);
    if (option == nullptr) Fail(key.source(), NoSuchSetting(*app_, name));
    CLI::ConfigItem item;
    item.name = name;
    item.inputs = FlagValues(name, node);
    const bool many = option->get_items_expected_max() > 1;
    if (item.inputs.empty() || (node.is_array() && !many)) {
      Fail(node.source(), absl::StrCat("\"", name, "\" takes one value"));
    }
    items.push_back(std::move(item));
  }
  return items;
}

std::string TomlConfig::to_config(const CLI::App*, bool, bool, std::string) const { return ""; }

std::string TomlValue(const std::string& value) {
  int64_t whole = 0;
  double number = 0;
  const bool plain = value == "true" || value == "false" ||
                     (absl::SimpleAtoi(value, &whole) && absl::StrCat(whole) == value) ||
                     (value.find_first_not_of("0123456789.") == std::string::npos &&
                      value.find('.') != std::string::npos && value.front() != '.' &&
                      value.back() != '.' && absl::SimpleAtod(value, &number));
  if (plain) return value;
  std::ostringstream text;
  text << toml::toml_formatter(toml::value<std::string>(value),
                               toml::toml_formatter::default_flags &
                                   ~toml::format_flags::allow_literal_strings &
                                   ~toml::format_flags::allow_multi_line_strings);
  return text.str();
}

}  // namespace hocket
