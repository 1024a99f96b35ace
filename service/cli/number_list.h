// Lists of numbers as flags carry them: "1,2,3" and "0.3,0.7". Pure; any thread.
#ifndef HOCKET_SERVICE_CLI_NUMBER_LIST_H_
#define HOCKET_SERVICE_CLI_NUMBER_LIST_H_

#include <span>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "scheduler/step.h"

namespace hocket {

// Token ids separated by commas, spaces or newlines, in square brackets or not. INVALID_ARGUMENT
// naming the entry that is no id (below 0, or not a whole number), or when there is none.
absl::StatusOr<std::vector<TokenId>> ParseTokenList(absl::string_view text);

// INVALID_ARGUMENT naming the first id that is not in [0, vocabulary_size).
absl::Status CheckTokens(std::span<const TokenId> tokens, int32_t vocabulary_size);

// Comma-separated numbers; INVALID_ARGUMENT naming the entry that is none, or when there is none.
absl::StatusOr<std::vector<double>> ParseNumberList(absl::string_view text);

}  // namespace hocket

#endif  // HOCKET_SERVICE_CLI_NUMBER_LIST_H_
