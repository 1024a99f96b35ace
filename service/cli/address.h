// Addresses as flags carry them: "127.0.0.1:50051", "[::]:50051", ":0". Pure; any thread.
#ifndef HOCKET_SERVICE_CLI_ADDRESS_H_
#define HOCKET_SERVICE_CLI_ADDRESS_H_

#include <cstdint>
#include <string>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"

namespace hocket {

struct HostPort {
  std::string host;  // An IPv6 address keeps its brackets.
  int32_t port = 0;
  bool operator==(const HostPort&) const = default;
};

// No host means every interface, 0.0.0.0. INVALID_ARGUMENT saying what is missing or out of range.
absl::StatusOr<HostPort> ParseAddress(absl::string_view text);

}  // namespace hocket

#endif  // HOCKET_SERVICE_CLI_ADDRESS_H_
