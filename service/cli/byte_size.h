// Sizes as people write them: "512MiB", "4GiB", "1000000". Pure; any thread.
#ifndef HOCKET_SERVICE_CLI_BYTE_SIZE_H_
#define HOCKET_SERVICE_CLI_BYTE_SIZE_H_

#include <cstdint>
#include <string>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"

namespace hocket {

// A whole or decimal number with an optional suffix: B, KiB, MiB, GiB, TiB (powers of 1024), or KB,
// MB, GB, TB (powers of 1000); the case does not matter, and K, M, G, T are read as KiB, MiB, ...
// INVALID_ARGUMENT for anything else, negative numbers and what does not fit 63 bits.
absl::StatusOr<int64_t> ParseByteSize(absl::string_view text);

// The largest unit in which the number is at least 1, with one decimal below 10: "1.5 GiB".
std::string FormatByteSize(int64_t bytes);

}  // namespace hocket

#endif  // HOCKET_SERVICE_CLI_BYTE_SIZE_H_
