// What a model folder says about ending and sampling: generation_config.json, and config.json where
// that is silent. Reads files; any thread.
#ifndef HOCKET_RUNTIME_GENERATION_CONFIG_H_
#define HOCKET_RUNTIME_GENERATION_CONFIG_H_

#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "runtime/generation_spec.h"

namespace hocket {

struct GenerationConfig {
  std::vector<TokenId> end_of_text_tokens;  // Sorted, each once.
  // The folder's recommended temperature, top_k, top_p, min_p, typical_p and repetition_penalty,
  // unless it says "do_sample": false: it then recommends nothing, and these are SamplingSettings'
  // own defaults.
  SamplingSettings default_sampling;
};

// INVALID_ARGUMENT naming file and field when a value cannot be meant. A missing
// generation_config.json is fine.
absl::StatusOr<GenerationConfig> ReadGenerationConfig(const std::string& model_dir,
                                                      int32_t vocabulary_size);

}  // namespace hocket

#endif  // HOCKET_RUNTIME_GENERATION_CONFIG_H_
