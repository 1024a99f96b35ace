// A decoder's architecture as data: what config.json says, checked and with defaults filled in. The
// forward pass reads it and knows no families. A plain value.
#ifndef HOCKET_RUNTIME_MODEL_ARCHITECTURE_SPEC_H_
#define HOCKET_RUNTIME_MODEL_ARCHITECTURE_SPEC_H_

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/statusor.h"

namespace hocket {

enum class RotaryScaling {
  kNone,
  kLinear,  // Every frequency divided by `factor`.
  kLlama3,  // Long wavelengths divided by `factor`, short ones kept, a ramp between (Llama 3.1).
};

struct RotarySpec {
  double base = 10000.0;
  RotaryScaling scaling = RotaryScaling::kNone;
  double factor = 1.0;
  double low_frequency_factor = 1.0;  // kLlama3 only, as the next two.
  double high_frequency_factor = 4.0;
  double original_context_tokens = 8192;
};

struct ArchitectureSpec {
  std::string name;  // architectures[0]: "LlamaForCausalLM".
  int32_t layers = 0;
  int32_t hidden_size = 0;
  int32_t intermediate_size = 0;
  int32_t heads = 0;
  int32_t kv_heads = 0;  // Divides heads.
  int32_t head_dim = 0;  // A multiple of 8.
  int32_t vocabulary_size = 0;
  int32_t max_context_tokens = 0;
  double norm_epsilon = 1e-6;
  RotarySpec rotary;
  bool qkv_bias = false;
  bool attention_output_bias = false;
  bool mlp_bias = false;
  bool tied_head = false;  // The head's weights are the embedding's.
  std::vector<int32_t> end_of_text_tokens;

  int32_t QkvSize() const { return (heads + 2 * kv_heads) * head_dim; }
  int32_t AttentionSize() const { return heads * head_dim; }
};

// `json` is config.json's text, `path` its name for errors. INVALID_ARGUMENT naming file and field
// for missing fields, wrong types and values; UNIMPLEMENTED for what the decoder cannot run.
absl::StatusOr<ArchitectureSpec> ParseArchitecture(std::string_view json, const std::string& path);

// The head_dim / 2 rotary frequencies, scaling applied, radians per position.
std::vector<float> RotaryFrequencies(const RotarySpec& rotary, int32_t head_dim);

}  // namespace hocket

#endif  // HOCKET_RUNTIME_MODEL_ARCHITECTURE_SPEC_H_
