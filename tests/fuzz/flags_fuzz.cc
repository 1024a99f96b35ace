// What people write in flags: numbers, sizes, addresses and lists. Refused with an example, or a
// value in its range that reads the same when it is written again.
#include <cmath>
#include <string>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "fuzz_input.h"
#include "promise.h"
#include "service/cli/address.h"
#include "service/cli/byte_size.h"
#include "service/cli/number_list.h"

namespace hocket::fuzz {
namespace {

void CheckRefusal(const absl::Status& status) {
  Promise(absl::IsInvalidArgument(status) && !status.message().empty(), "a refusal says why");
}

void CheckByteSize(const std::string& text) {
  const absl::StatusOr<int64_t> bytes = ParseByteSize(text);
  if (!bytes.ok()) return CheckRefusal(bytes.status());
  Promise(*bytes >= 0, "a size is not negative", text);
  // From 2^53 on not every number is a double.
  if (*bytes < int64_t{1} << 53) {
    Promise(ParseByteSize(absl::StrCat(*bytes)).value() == *bytes, "bytes are read exactly", text);
  }
  const std::string shown = FormatByteSize(*bytes);
  const auto again = static_cast<double>(ParseByteSize(shown).value());
  const auto exact = static_cast<double>(*bytes);
  Promise(std::abs(again - exact) <= exact * 0.06, "a shown size is about the size", shown);
}

void CheckAddress(const std::string& text) {
  const absl::StatusOr<HostPort> address = ParseAddress(text);
  if (!address.ok()) return CheckRefusal(address.status());
  Promise(address->port >= 0 && address->port <= 65535, "a port is in its range", text);
  Promise(!address->host.empty(), "an address has a host", text);
  const std::string shown = absl::StrCat(address->host, ":", address->port);
  Promise(ParseAddress(shown).value() == *address, "an address reads as it is written", text);
}

void CheckLists(const std::string& text) {
  const auto tokens = ParseTokenList(text);
  if (tokens.ok()) {
    Promise(!tokens->empty(), "a list has entries", text);
    for (const TokenId token : *tokens) Promise(token >= 0, "an id is not negative", text);
    Promise(*ParseTokenList(absl::StrCat("[", absl::StrJoin(*tokens, ", "), "]")) == *tokens,
            "a list reads as it is written", text);
  } else {
    CheckRefusal(tokens.status());
  }
  const auto numbers = ParseNumberList(text);
  if (!numbers.ok()) return CheckRefusal(numbers.status());
  Promise(!numbers->empty(), "a list has numbers", text);
  for (const double number : *numbers) Promise(std::isfinite(number), "numbers are finite", text);
}

void Check(FuzzInput input) {
  const std::string text = input.Take(2000);
  CheckByteSize(text);
  CheckAddress(text);
  CheckLists(text);
}

}  // namespace
}  // namespace hocket::fuzz

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  hocket::fuzz::Check({data, size});
  return 0;
}
