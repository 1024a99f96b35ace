// Prompts for benchmarks: random token ids, the same for the same seed. Pure; any thread.
#ifndef HOCKET_SERVICE_CLI_RANDOM_PROMPT_H_
#define HOCKET_SERVICE_CLI_RANDOM_PROMPT_H_

#include <cstdint>
#include <vector>

#include "runtime/model_runtime.h"

namespace hocket {

// `tokens` ids of the model's vocabulary, none of them an end of text.
std::vector<TokenId> RandomPrompt(const ModelInfo& info, int32_t tokens, uint64_t seed);

}  // namespace hocket

#endif  // HOCKET_SERVICE_CLI_RANDOM_PROMPT_H_
