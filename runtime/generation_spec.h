// What one sequence asks of sampling, stopping and output: the effective settings, defaults filled
// in. The service makes it from a validated request, the scheduler carries it unread, the executor
// obeys it. Immutable once submitted.
#ifndef HOCKET_RUNTIME_GENERATION_SPEC_H_
#define HOCKET_RUNTIME_GENERATION_SPEC_H_

#include <cstdint>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "scheduler/step.h"

namespace hocket {

// Order of the filters: temperature, top-k, top-p, draw (docs/sampling.md).
struct SamplingSettings {
  float temperature = 1.0f;  // 0 is greedy; any positive finite value scales logits by 1/value.
  int32_t top_k = 0;         // Keep the k most likely tokens; 0 keeps all.
  float top_p = 1.0f;        // Keep the smallest set whose probability reaches p; in (0, 1].
  uint64_t seed = 0;         // Key of the random numbers; always set (drawn when not given).

  // INVALID_ARGUMENT naming the field, the value and the range.
  absl::Status Validate() const;
};

struct StoppingSettings {
  int32_t max_new_tokens = 256;
  int32_t min_new_tokens = 0;        // Stop tokens cannot be drawn before this many tokens.
  std::vector<TokenId> stop_tokens;  // In addition to the model's end-of-text tokens.
  bool ignore_eos = false;           // The model's own end-of-text tokens do not end the text.
  std::vector<std::string> stop_strings;
  bool include_stop_string = false;  // Whether the text returned keeps the stop string.

  absl::Status Validate() const;  // Sizes and ranges; the limits are constants in the source.
};

enum class EmbeddingPooling { kNone, kLastToken, kMean };

struct OutputSettings {
  bool logprobs = false;         // Score every generated token.
  int32_t top_logprobs = 0;      // With this many alternatives, 0 .. 20.
  bool prompt_logprobs = false;  // Score every prompt token but the first.
  int32_t prompt_top_logprobs = 0;
  bool special_tokens_in_text = false;
  EmbeddingPooling embedding = EmbeddingPooling::kNone;
  bool normalize_embedding = true;

  absl::Status Validate() const;
};

struct GenerationSpec {
  SamplingSettings sampling;
  StoppingSettings stopping;
  OutputSettings output;

  absl::Status Validate() const;
};

}  // namespace hocket

#endif  // HOCKET_RUNTIME_GENERATION_SPEC_H_
