// A completion's facts in one line for people: counts, speed, why it ended, the seed. Pure; any
// thread.
#ifndef HOCKET_SERVICE_CLI_COMPLETION_FACTS_H_
#define HOCKET_SERVICE_CLI_COMPLETION_FACTS_H_

#include <string>

#include "runtime/generation_spec.h"
#include "service/cli/local_model.h"

namespace hocket {

// "64 tokens in 0.41 s (156.1 tokens/s), prompt 12 tokens, first after 8 ms; ended: length; seed
// 7".
std::string CompletionFacts(const GenerationSpec& spec, const CompletionResult& result);

// Why a completion ended: "stop_string \"The end\"", "length".
std::string FinishText(const Finish& finish);

// Tokens per second over all that `result` took; 0 when it took no time.
double TokensPerSecond(const CompletionResult& result);

}  // namespace hocket

#endif  // HOCKET_SERVICE_CLI_COMPLETION_FACTS_H_
