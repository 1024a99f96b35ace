#include "service/cli/settings_list.h"

#include "CLI/CLI.hpp"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/strings/str_split.h"
#include "absl/strings/strip.h"
#include "service/cli/config_file.h"

namespace hocket {
namespace {

bool TakesMany(const CLI::Option& option) { return option.get_items_expected_max() > 1; }

std::vector<std::string> ValuesOf(const CLI::Option& option) {
  if (option.count() > 0) return option.reduced_results();
  const std::string text = option.get_default_str();
  absl::string_view value = text;
  if (value.empty()) return {};
  // CLI11 writes a list as [a,b].
  if (TakesMany(option) && absl::ConsumePrefix(&value, "[") && absl::ConsumeSuffix(&value, "]")) {
    return absl::StrSplit(value, ',', absl::SkipEmpty());
  }
  return {std::string(value)};
}

std::string SourceText(const Setting& setting) {
  switch (setting.source) {
    case FlagSource::kCommandLine:
      return "command line";
    case FlagSource::kEnvironment:
      return absl::StrCat("environment, ", setting.variable);
    case FlagSource::kFile:
      return "config file";
    case FlagSource::kDefault:
      break;
  }
  return "default";
}

std::string ValueText(const Setting& setting) {
  if (!setting.takes_many) return TomlValue(setting.values.front());
  const auto quoted = [](std::string* out, const std::string& value) {
    absl::StrAppend(out, TomlValue(value));
  };
  return absl::StrCat("[", absl::StrJoin(setting.values, ", ", quoted), "]");
}

}  // namespace

std::vector<Setting> SettingsOf(const CLI::App& app, const ParsedFlags& parsed) {
  std::vector<Setting> settings;
  for (const CLI::Option* option : app.get_options()) {
    if (!option->get_configurable() || option->get_lnames().empty()) continue;
    Setting& setting = settings.emplace_back();
    setting.name = option->get_lnames().front();
    setting.group = option->get_group();
    setting.values = ValuesOf(*option);
    setting.takes_many = TakesMany(*option);
    setting.variable = option->get_envname();
    if (const auto found = parsed.sources.find(LongName(*option)); found != parsed.sources.end()) {
      setting.source = found->second;
    }
  }
  return settings;
}

std::string ConfigFileText(std::span<const Setting> settings) {
  std::string text = "# The settings of hocket serve in effect. --config reads this file.\n";
  std::string group;
  for (const Setting& setting : settings) {
    if (setting.group != group) absl::StrAppend(&text, "\n# ", setting.group, "\n");
    group = setting.group;
    if (setting.values.empty()) {
      absl::StrAppend(&text, "\n# not set\n# ", setting.name, " =\n");
    } else {
      absl::StrAppend(&text, "\n# ", SourceText(setting), "\n", setting.name, " = ",
                      ValueText(setting), "\n");
    }
  }
  return text;
}

std::vector<std::string> ChangedSettings(std::span<const Setting> before,
                                         std::span<const Setting> after) {
  std::vector<std::string> changed;
  for (size_t i = 0; i < before.size() && i < after.size(); ++i) {
    if (before[i].values != after[i].values) changed.push_back(before[i].name);
  }
  return changed;
}

}  // namespace hocket
