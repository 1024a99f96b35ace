#include "service/cli/byte_size.h"

#include <array>
#include <cmath>
#include <utility>

#include "absl/strings/ascii.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"

namespace hocket {
namespace {

constexpr std::array<std::pair<absl::string_view, double>, 15> kUnits = {{
    {"", 1},
    {"b", 1},
    {"k", 1024.0},
    {"kib", 1024.0},
    {"kb", 1e3},
    {"m", 1048576.0},
    {"mib", 1048576.0},
    {"mb", 1e6},
    {"g", 1073741824.0},
    {"gib", 1073741824.0},
    {"gb", 1e9},
    {"t", 1099511627776.0},
    {"tib", 1099511627776.0},
    {"tb", 1e12},
    {"bytes", 1},
}};

}  // namespace

absl::StatusOr<int64_t> ParseByteSize(absl::string_view text) {
  const std::string trimmed = absl::AsciiStrToLower(absl::StripAsciiWhitespace(text));
  const size_t split = std::min(trimmed.find_first_not_of("0123456789."), trimmed.size());
  const absl::string_view unit =
      absl::StripLeadingAsciiWhitespace(absl::string_view(trimmed).substr(split));
  double number = 0;
  if (split > 0 && absl::SimpleAtod(trimmed.substr(0, split), &number)) {
    for (const auto& [name, factor] : kUnits) {
      if (unit != name) continue;
      const double bytes = number * factor;
      if (bytes >= 9.2e18) break;
      return static_cast<int64_t>(std::llround(bytes));
    }
  }
  return absl::InvalidArgumentError(
      absl::StrCat("\"", text, "\" is not a size; write for example 512MiB or 4GiB"));
}

std::string FormatByteSize(int64_t bytes) {
  constexpr std::array<absl::string_view, 5> kNames = {"B", "KiB", "MiB", "GiB", "TiB"};
  double value = static_cast<double>(bytes);
  size_t unit = 0;
  while (value >= 1024 && unit + 1 < kNames.size()) {
    value /= 1024;
    ++unit;
  }
  const int decimals = unit > 0 && value < 9.95 ? 1 : 0;
  return absl::StrFormat("%.*f %s", decimals, value, kNames[unit]);
}

}  // namespace hocket
