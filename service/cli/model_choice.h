// What `hocket serve --model` says of one model: DIR, or NAME=DIR with settings of its own behind
// it, as in `big=/models/big,precision=int4,threads=2`. Pure; any thread.
#ifndef HOCKET_SERVICE_CLI_MODEL_CHOICE_H_
#define HOCKET_SERVICE_CLI_MODEL_CHOICE_H_

#include <cstdint>
#include <optional>
#include <span>
#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "runtime/precision.h"

namespace hocket {

struct ModelChoice {
  std::string name;  // Empty: its folder's.
  std::string dir;   // Empty: the model that comes along.
  // Where unset, the flags of the same names hold.
  std::optional<Precision> precision;
  std::optional<KvPrecision> kv_precision;
  std::optional<int32_t> threads;
  std::optional<int64_t> kv_cache_bytes;
  std::optional<std::string> trace_plans;
};

// A text without `=` is a folder, whatever else is in it. Otherwise the name ends at the first `=`
// and the folder at the first comma after it. INVALID_ARGUMENT saying what is wrong where.
absl::StatusOr<ModelChoice> ParseModelChoice(absl::string_view text);

// INVALID_ARGUMENT where it is too long for a name, or is not of visible ASCII without " and
// commas.
absl::Status CheckModelName(absl::string_view name);

// INVALID_ARGUMENT where one of several has no name, or two have the same.
absl::Status CheckNames(std::span<const ModelChoice> choices);

}  // namespace hocket

#endif  // HOCKET_SERVICE_CLI_MODEL_CHOICE_H_
