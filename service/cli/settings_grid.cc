#include "service/cli/settings_grid.h"

#include <algorithm>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "service/cli/number_list.h"

namespace hocket {
namespace {

absl::Status ParseInto(absl::string_view flag, absl::string_view text, std::vector<double>* list) {
  if (text.empty()) return absl::OkStatus();
  absl::StatusOr<std::vector<double>> numbers = ParseNumberList(text);
  if (!numbers.ok()) {
    return absl::InvalidArgumentError(absl::StrCat(flag, ": ", numbers.status().message()));
  }
  *list = *std::move(numbers);
  return absl::OkStatus();
}

// Entry `index` of a list; nothing where the list is empty; the only entry of a list of one.
template <typename T>
std::optional<T> Entry(const std::vector<double>& list, size_t index) {
  if (list.empty()) return std::nullopt;
  return static_cast<T>(list[std::min(index, list.size() - 1)]);
}

SettingsChoice Choice(const SettingsLists& lists, size_t temperature, size_t top_k, size_t top_p) {
  return {Entry<float>(lists.temperatures, temperature), Entry<int32_t>(lists.top_ks, top_k),
          Entry<float>(lists.top_ps, top_p)};
}

absl::StatusOr<std::vector<SettingsChoice>> Zip(const SettingsLists& lists) {
  const size_t sizes[] = {lists.temperatures.size(), lists.top_ks.size(), lists.top_ps.size()};
  const size_t count = *std::max_element(std::begin(sizes), std::end(sizes));
  for (const size_t size : sizes) {
    if (size > 1 && size != count) {
      return absl::InvalidArgumentError(
          absl::StrCat("--zip: the lists have ", absl::StrJoin(sizes, ", "),
                       " entries; give each the same number, one entry, or none"));
    }
  }
  std::vector<SettingsChoice> choices;
  for (size_t i = 0; i < count; ++i) choices.push_back(Choice(lists, i, i, i));
  return choices;
}

}  // namespace

absl::StatusOr<SettingsLists> SettingsLists::Parse(absl::string_view temperatures,
                                                   absl::string_view top_ks,
                                                   absl::string_view top_ps) {
  SettingsLists lists;
  absl::Status status = ParseInto("--temperature", temperatures, &lists.temperatures);
  if (status.ok()) status = ParseInto("--top-k", top_ks, &lists.top_ks);
  if (status.ok()) status = ParseInto("--top-p", top_ps, &lists.top_ps);
  if (!status.ok()) return status;
  return lists;
}

GenerationSpec SettingsChoice::Apply(GenerationSpec base) const {
  if (temperature) base.sampling.temperature = *temperature;
  if (top_k) base.sampling.top_k = *top_k;
  if (top_p) base.sampling.top_p = *top_p;
  return base;
}

std::string SettingsChoice::Title() const {
  std::vector<std::string> parts;
  if (temperature) parts.push_back(absl::StrCat("temperature ", *temperature));
  if (top_k) parts.push_back(absl::StrCat("top-k ", *top_k));
  if (top_p) parts.push_back(absl::StrCat("top-p ", *top_p));
  return absl::StrJoin(parts, ", ");
}

absl::StatusOr<std::vector<SettingsChoice>> SettingsGrid(const SettingsLists& lists, bool zip) {
  std::vector<SettingsChoice> choices;
  if (zip) {
    absl::StatusOr<std::vector<SettingsChoice>> zipped = Zip(lists);
    if (!zipped.ok()) return zipped.status();
    choices = *std::move(zipped);
  } else {
    for (size_t t = 0; t < std::max<size_t>(1, lists.temperatures.size()); ++t) {
      for (size_t k = 0; k < std::max<size_t>(1, lists.top_ks.size()); ++k) {
        for (size_t p = 0; p < std::max<size_t>(1, lists.top_ps.size()); ++p) {
          choices.push_back(Choice(lists, t, k, p));
        }
      }
    }
  }
  if (choices.size() > kMaxSettingsChoices) {
    return absl::InvalidArgumentError(absl::StrCat("the lists make ", choices.size(),
                                                   " settings to compare; at most ",
                                                   kMaxSettingsChoices, " are shown"));
  }
  return choices;
}

}  // namespace hocket
