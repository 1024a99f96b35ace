// The JSON that commands print. Floats are written with 9 significant digits, which read back to
// the same float. Pure; any thread.
#ifndef HOCKET_SERVICE_CLI_RESULT_JSON_H_
#define HOCKET_SERVICE_CLI_RESULT_JSON_H_

#include <nlohmann/json.hpp>
#include <span>
#include <string>
#include <string_view>

#include "absl/strings/string_view.h"
#include "runtime/generation_spec.h"
#include "runtime/model_runtime.h"
#include "service/cli/local_model.h"

namespace hocket {

// A JSON number of `value` with 9 significant digits; null when it is not finite.
nlohmann::ordered_json FloatJson(float value);

// [{"id": 7, "logprob": -0.1}, ...]
nlohmann::ordered_json TopJson(std::span<const TokenLogprob> top);

// What `generate` and `compare` print of one completion: text, tokens, logprobs (where asked),
// finish reason, seed, sampling, usage and timings in milliseconds.
nlohmann::ordered_json CompletionJson(const ModelInfo& info, const GenerationSpec& spec,
                                      const CompletionResult& result);

// The same of a request of several choices: what is each one's own is in the list "choices", with
// its index, and its score where they are ranked.
nlohmann::ordered_json ChoicesJson(const ModelInfo& info, const GenerationSpec& spec,
                                   const RequestShape& shape,
                                   std::span<const CompletionResult> choices);

// One line, valid UTF-8 whatever the strings hold, ending in "\n".
std::string JsonLine(const nlohmann::ordered_json& json);

}  // namespace hocket

#endif  // HOCKET_SERVICE_CLI_RESULT_JSON_H_
