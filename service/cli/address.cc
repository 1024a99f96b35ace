#include "service/cli/address.h"

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"

namespace hocket {

absl::StatusOr<HostPort> ParseAddress(absl::string_view text) {
  const size_t colon = text.rfind(':');
  const absl::string_view host = text.substr(0, colon);
  const bool bracketed = !host.empty() && host.front() == '[' && host.back() == ']';
  HostPort address;
  if (colon == absl::string_view::npos ||
      (!bracketed && host.find(':') != absl::string_view::npos)) {
    return absl::InvalidArgumentError(
        absl::StrCat("\"", text, "\" is no address; write HOST:PORT, for example 127.0.0.1:50051"));
  }
  if (!absl::SimpleAtoi(text.substr(colon + 1), &address.port) || address.port < 0 ||
      address.port > 65535) {
    return absl::InvalidArgumentError(absl::StrCat("\"", text.substr(colon + 1), "\" in \"", text,
                                                   "\" is no port; allowed is from 0 to 65535"));
  }
  address.host = host.empty() ? "0.0.0.0" : std::string(host);
  return address;
}

}  // namespace hocket
