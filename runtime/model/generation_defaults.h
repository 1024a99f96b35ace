// What generation_config.json recommends: end-of-text tokens and default sampling. Any thread.
#ifndef HOCKET_RUNTIME_MODEL_GENERATION_DEFAULTS_H_
#define HOCKET_RUNTIME_MODEL_GENERATION_DEFAULTS_H_

#include <string>

#include "absl/status/status.h"
#include "runtime/model_runtime.h"

namespace hocket {

// Sets info.end_of_text_tokens and info.default_sampling from the folder's generation_config.json
// where it names them, and leaves them as they are where it does not or there is no such file.
// INVALID_ARGUMENT naming the field for values of the wrong type.
absl::Status ReadGenerationDefaults(const std::string& folder, ModelInfo& info);

}  // namespace hocket

#endif  // HOCKET_RUNTIME_MODEL_GENERATION_DEFAULTS_H_
