#include "service/cli/flag_checks.h"

#include <cmath>
#include <limits>
#include <string>

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "service/cli/byte_size.h"
#include "service/cli/number_list.h"

namespace hocket {
namespace {

std::string RangeText(double low, double high, bool above_low) {
  if (high >= std::numeric_limits<float>::max()) {
    return absl::StrCat(above_low ? "above " : "at least ", low);
  }
  return absl::StrCat(above_low ? "above " : "from ", low, " to ", high);
}

std::string CheckNumber(absl::string_view text, double low, double high, bool above_low) {
  double value = 0;
  if (!absl::SimpleAtod(text, &value) || !std::isfinite(value)) {
    return absl::StrCat("\"", text, "\" is not a number; allowed is ",
                        RangeText(low, high, above_low));
  }
  if (value < low || value > high || (above_low && value == low)) {
    return absl::StrCat(text, " is out of range; allowed is ", RangeText(low, high, above_low));
  }
  return "";
}

std::string CheckWholeNumber(absl::string_view text, int64_t low, int64_t high) {
  const std::string range = high == std::numeric_limits<int64_t>::max()
                                ? absl::StrCat("at least ", low)
                                : absl::StrCat("from ", low, " to ", high);
  int64_t value = 0;
  if (!absl::SimpleAtoi(text, &value)) {
    return absl::StrCat("\"", text, "\" is not a whole number; allowed is ", range);
  }
  if (value < low || value > high) {
    return absl::StrCat(text, " is out of range; allowed is ", range);
  }
  return "";
}

template <typename Check>
std::string CheckEach(absl::string_view list, const Check& check) {
  for (absl::string_view entry : absl::StrSplit(list, ',')) {
    std::string problem = check(entry);
    if (!problem.empty()) return problem;
  }
  return "";
}

}  // namespace

CLI::Validator WholeNumber(int64_t low, int64_t high) {
  return CLI::Validator(
      [low, high](std::string& text) { return CheckWholeNumber(text, low, high); }, "");
}

CLI::Validator Number(double low, double high, bool above_low) {
  return CLI::Validator([=](std::string& text) { return CheckNumber(text, low, high, above_low); },
                        "");
}

CLI::Validator ByteSize() {
  return CLI::Validator(
      [](std::string& text) -> std::string {
        const absl::StatusOr<int64_t> bytes = ParseByteSize(text);
        if (!bytes.ok()) return std::string(bytes.status().message());
        text = absl::StrCat(*bytes);
        return "";
      },
      "");
}

CLI::Validator TokenList() {
  return CLI::Validator(
      [](std::string& text) { return std::string(ParseTokenList(text).status().message()); }, "");
}

CLI::Validator NumberList(double low, double high, bool above_low) {
  return CLI::Validator(
      [=](std::string& text) {
        return CheckEach(text, [=](absl::string_view entry) {
          return CheckNumber(entry, low, high, above_low);
        });
      },
      "");
}

CLI::Validator WholeNumberList(int64_t low, int64_t high) {
  return CLI::Validator(
      [=](std::string& text) {
        return CheckEach(
            text, [=](absl::string_view entry) { return CheckWholeNumber(entry, low, high); });
      },
      "");
}

}  // namespace hocket
