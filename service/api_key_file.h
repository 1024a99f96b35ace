// The JSON of --api-keys, member by member. Knows what each entry may say for itself; what entries
// may say beside each other is ApiKeys'. Pure; any thread.
#ifndef HOCKET_SERVICE_API_KEY_FILE_H_
#define HOCKET_SERVICE_API_KEY_FILE_H_

#include <vector>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "service/api_keys.h"

namespace hocket {

// INVALID_ARGUMENT naming line, entry, field, value and range.
absl::StatusOr<std::vector<ApiKeyEntry>> ParseApiKeyFile(absl::string_view json);

// Whether a certificate's name is a URI ("spiffe://...") and no DNS name.
bool IsUri(absl::string_view name);

}  // namespace hocket

#endif  // HOCKET_SERVICE_API_KEY_FILE_H_
