// The settings that `hocket compare` shows beside each other, from lists of values. Pure; any
// thread.
#ifndef HOCKET_SERVICE_CLI_SETTINGS_GRID_H_
#define HOCKET_SERVICE_CLI_SETTINGS_GRID_H_

#include <optional>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "runtime/generation_spec.h"

namespace hocket {

constexpr size_t kMaxSettingsChoices = 32;

struct SettingsLists {
  std::vector<double> temperatures;
  std::vector<double> top_ks;
  std::vector<double> top_ps;

  // Comma-separated lists; an empty text is an empty list. INVALID_ARGUMENT naming the flag.
  static absl::StatusOr<SettingsLists> Parse(absl::string_view temperatures,
                                             absl::string_view top_ks, absl::string_view top_ps);
};

// One column: what it sets over the common settings.
struct SettingsChoice {
  std::optional<float> temperature;
  std::optional<int32_t> top_k;
  std::optional<float> top_p;

  GenerationSpec Apply(GenerationSpec base) const;
  std::string Title() const;  // "temperature 0.7, top-p 0.9".
  bool operator==(const SettingsChoice&) const = default;
};

// Every combination, the last list changing fastest; or with `zip` the first entries of all lists,
// the second entries, ... where a list of one entry is repeated. INVALID_ARGUMENT when zipped lists
// differ in length, or for more than kMaxSettingsChoices.
absl::StatusOr<std::vector<SettingsChoice>> SettingsGrid(const SettingsLists& lists, bool zip);

}  // namespace hocket

#endif  // HOCKET_SERVICE_CLI_SETTINGS_GRID_H_
