#include "service/cli/number_list.h"

#include <cmath>

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "absl/strings/strip.h"

namespace hocket {

absl::StatusOr<std::vector<TokenId>> ParseTokenList(absl::string_view text) {
  absl::string_view list = absl::StripAsciiWhitespace(text);
  if (absl::ConsumePrefix(&list, "[") && !absl::ConsumeSuffix(&list, "]")) {
    return absl::InvalidArgumentError("the list of token ids opens with [ and does not close");
  }
  std::vector<TokenId> tokens;
  if (absl::StripAsciiWhitespace(list).empty()) {
    return absl::InvalidArgumentError("no token ids given; write for example 1,2,3");
  }
  for (const absl::string_view place : absl::StrSplit(list, ',')) {
    std::vector<absl::string_view> entries =
        absl::StrSplit(place, absl::ByAnyChar(" \t\r\n"), absl::SkipEmpty());
    if (entries.empty()) entries.emplace_back();  // Which is no token id.
    for (const absl::string_view entry : entries) {
      TokenId token = 0;
      if (!absl::SimpleAtoi(entry, &token) || token < 0) {
        return absl::InvalidArgumentError(absl::StrCat(
            "\"", entry, "\" is not a token id; write whole numbers from 0, for example 1,2,3"));
      }
      tokens.push_back(token);
    }
  }
  return tokens;
}

absl::Status CheckTokens(std::span<const TokenId> tokens, int32_t vocabulary_size) {
  for (const TokenId token : tokens) {
    if (token < 0 || token >= vocabulary_size) {
      return absl::InvalidArgumentError(absl::StrCat(
          token, " is not a token of this model; its ids are 0 .. ", vocabulary_size - 1));
    }
  }
  return absl::OkStatus();
}

absl::StatusOr<std::vector<double>> ParseNumberList(absl::string_view text) {
  std::vector<double> numbers;
  for (absl::string_view entry : absl::StrSplit(text, ',')) {
    double number = 0;
    if (!absl::SimpleAtod(entry, &number) || !std::isfinite(number)) {
      return absl::InvalidArgumentError(
          absl::StrCat("\"", entry, "\" is not a number; write for example 0.3,0.7,1"));
    }
    numbers.push_back(number);
  }
  return numbers;
}

}  // namespace hocket
