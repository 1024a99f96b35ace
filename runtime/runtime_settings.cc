#include <bit>
#include <cstdint>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/string_view.h"
#include "runtime/model_runtime.h"

namespace hocket {

absl::Status RuntimeSettings::Validate() const {
  const auto error = [](absl::string_view field, int64_t value, absl::string_view expected) {
    return absl::InvalidArgumentError(absl::StrCat(field, ": ", value, " is not ", expected));
  };
  if (model_dir.empty()) return absl::InvalidArgumentError("model_dir: no model folder was given");
  if (threads < 0 || threads > 4096) return error("threads", threads, "in [0, 4096]");
  if (block_tokens < 16 || block_tokens > 256 ||
      !std::has_single_bit(static_cast<uint32_t>(block_tokens))) {
    return error("block_tokens", block_tokens, "16, 32, 64, 128 or 256");
  }
  if (kv_cache_bytes < 0) return error("kv_cache_bytes", kv_cache_bytes, "at least 0");
  if (shared_memory.promised_bytes < 0 || shared_memory.expected_bytes < 0) {
    return absl::InvalidArgumentError("shared_memory: a number of bytes is negative");
  }
  if (shared_memory.kv_shares < 1) {
    return error("shared_memory.kv_shares", shared_memory.kv_shares, "at least 1");
  }
  if (max_step_tokens < 1 || max_step_tokens > (1 << 16)) {
    return error("max_step_tokens", max_step_tokens, "in [1, 65536]");
  }
  if (max_running_sequences < 1 || max_running_sequences > 65536) {
    return error("max_running_sequences", max_running_sequences, "in [1, 65536]");
  }
  if (weight_cache.empty()) {
    return absl::InvalidArgumentError("weight_cache: is empty; give auto, off or a folder");
  }
  return absl::OkStatus();
}

}  // namespace hocket
