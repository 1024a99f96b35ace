#include "runtime/model/architecture_spec.h"

#include <cmath>
#include <numbers>
#include <optional>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "runtime/model/json_fields.h"

namespace hocket {
namespace {

constexpr int32_t kMostTokenIds = 1 << 22;  // What the sampling stage's exact sums allow.

absl::Status Unimplemented(const std::string& path, const std::string& what) {
  return absl::UnimplementedError(absl::StrCat(path, ": ", what));
}

absl::Status ReadFamily(JsonFields& fields, const nlohmann::json& config, const std::string& path,
                        ArchitectureSpec& spec) {
  const nlohmann::json* names = fields.Find("architectures");
  if (names == nullptr || !names->is_array() || names->empty() || !names->front().is_string()) {
    fields.Fail("architectures", "is missing, expected a list with one name");
    return fields.status();
  }
  spec.name = names->front().get<std::string>();
  if (spec.name == "LlamaForCausalLM") {
    spec.qkv_bias = spec.attention_output_bias = fields.Bool("attention_bias", false);
    spec.mlp_bias = fields.Bool("mlp_bias", false);
  } else if (spec.name == "Qwen2ForCausalLM") {
    spec.qkv_bias = true;
    if (fields.Bool("use_sliding_window", false)) {
      return Unimplemented(path, "use_sliding_window is true, which is not supported yet");
    }
  } else if (spec.name == "MistralForCausalLM") {
    if (fields.Has("sliding_window")) {
      return Unimplemented(path, "sliding_window is set, which is not supported yet");
    }
  } else {
    return Unimplemented(path, absl::StrCat("architecture ", spec.name,
                                            " is not supported (supported: LlamaForCausalLM, "
                                            "MistralForCausalLM, Qwen2ForCausalLM)"));
  }
  const std::string activation = fields.String("hidden_act", "silu");
  if (fields.status().ok() && activation != "silu") {
    return Unimplemented(path, absl::StrCat("hidden_act ", activation, " is not supported"));
  }
  if (config.contains("quantization_config")) {
    return Unimplemented(path, "quantization_config is set; only plain weights are supported");
  }
  return fields.status();
}

void ReadSizes(JsonFields& fields, ArchitectureSpec& spec) {
  spec.layers = fields.PositiveInt("num_hidden_layers", std::nullopt, 1000);
  spec.hidden_size = fields.PositiveInt("hidden_size", std::nullopt, 1 << 17);
  spec.intermediate_size = fields.PositiveInt("intermediate_size", std::nullopt, 1 << 20);
  spec.heads = fields.PositiveInt("num_attention_heads", std::nullopt, 4096);
  spec.kv_heads = fields.PositiveInt("num_key_value_heads", spec.heads, 4096);
  spec.vocabulary_size = fields.PositiveInt("vocab_size", std::nullopt, kMostTokenIds);
  spec.max_context_tokens = fields.PositiveInt("max_position_embeddings", std::nullopt, 1 << 24);
  spec.norm_epsilon = fields.PositiveNumber("rms_norm_eps", 1e-6);
  spec.tied_head = fields.Bool("tie_word_embeddings", false);
  // Some folders write -1 for "none".
  const nlohmann::json* end_of_text = fields.Find("eos_token_id");
  if (end_of_text == nullptr || *end_of_text != -1) {
    spec.end_of_text_tokens = fields.Ints("eos_token_id");
  }
  if (spec.heads % spec.kv_heads != 0) {
    fields.Fail("num_key_value_heads",
                absl::StrCat("is ", spec.kv_heads, ", expected a divisor of ",
                             "num_attention_heads (", spec.heads, ")"));
  }
  if (!fields.Has("head_dim") && spec.hidden_size % spec.heads != 0) {
    fields.Fail("hidden_size", absl::StrCat("is ", spec.hidden_size, ", expected a multiple of ",
                                            "num_attention_heads (", spec.heads, ")"));
  }
  spec.head_dim = fields.PositiveInt("head_dim", std::max(1, spec.hidden_size / spec.heads), 1024);
  if (fields.status().ok() && spec.head_dim % 8 != 0) {
    fields.Fail(fields.Has("head_dim") ? "head_dim" : "hidden_size / num_attention_heads",
                absl::StrCat("is ", spec.head_dim, ", expected a multiple of 8"));
  }
}

// Frequencies are divided by such numbers and their powers: of one below 1 these pass what a float
// holds.
double NumberFrom1(JsonFields& fields, const std::string& name,
                   std::optional<double> fallback = std::nullopt) {
  const double number = fields.PositiveNumber(name, fallback);
  if (number < 1) fields.Fail(name, absl::StrCat("is ", number, ", expected at least 1"));
  return number;
}

// Older files have rope_theta and rope_scaling, newer ones put both into rope_parameters.
absl::Status ReadRotary(JsonFields& fields, const std::string& path, ArchitectureSpec& spec) {
  const char* const name = fields.Has("rope_parameters") ? "rope_parameters" : "rope_scaling";
  RotarySpec& rotary = spec.rotary;
  rotary.base = NumberFrom1(fields, "rope_theta", 10000.0);
  const auto partial = [&](JsonFields& in) {
    return in.PositiveNumber("partial_rotary_factor", 1.0) != 1.0;
  };
  const std::string partial_error = "partial_rotary_factor is not supported yet";
  if (partial(fields)) return Unimplemented(path, partial_error);
  const nlohmann::json* object = fields.Find(name);
  if (object == nullptr) return fields.status();
  if (!object->is_object()) {
    fields.Fail(name, "is not an object");
    return fields.status();
  }
  JsonFields scaling(*object, path, absl::StrCat(name, "."));
  if (partial(scaling)) return Unimplemented(path, partial_error);
  rotary.base = NumberFrom1(scaling, "rope_theta", rotary.base);
  const std::string type =
      scaling.String(scaling.Has("rope_type") ? "rope_type" : "type", "default");
  if (type == "default") {
    rotary.scaling = RotaryScaling::kNone;
  } else if (type == "linear") {
    rotary.scaling = RotaryScaling::kLinear;
    rotary.factor = NumberFrom1(scaling, "factor");
  } else if (type == "llama3") {
    rotary.scaling = RotaryScaling::kLlama3;
    rotary.factor = NumberFrom1(scaling, "factor");
    rotary.low_frequency_factor = scaling.PositiveNumber("low_freq_factor");
    rotary.high_frequency_factor = scaling.PositiveNumber("high_freq_factor");
    rotary.original_context_tokens = scaling.PositiveNumber("original_max_position_embeddings");
    if (rotary.high_frequency_factor <= rotary.low_frequency_factor) {
      scaling.Fail("high_freq_factor", "must be above low_freq_factor");
    }
  } else if (scaling.status().ok()) {
    return Unimplemented(path, absl::StrCat(name, " of type ", type,
                                            " is not supported (supported: default, linear, "
                                            "llama3)"));
  }
  return scaling.status().ok() ? fields.status() : scaling.status();
}

}  // namespace

absl::StatusOr<ArchitectureSpec> ParseArchitecture(std::string_view json, const std::string& path) {
  const auto config = ParseJsonObject(json, path);
  if (!config.ok()) return config.status();
  ArchitectureSpec spec;
  JsonFields fields(*config, path);
  absl::Status status = ReadFamily(fields, *config, path, spec);
  if (!status.ok()) return status;
  ReadSizes(fields, spec);
  if (!fields.status().ok()) return fields.status();
  status = ReadRotary(fields, path, spec);
  if (!status.ok()) return status;
  return spec;
}

std::vector<float> RotaryFrequencies(const RotarySpec& rotary, int32_t head_dim) {
  std::vector<float> frequencies(head_dim / 2);
  const double low_wavelength = rotary.original_context_tokens / rotary.low_frequency_factor;
  const double high_wavelength = rotary.original_context_tokens / rotary.high_frequency_factor;
  for (int32_t i = 0; i < head_dim / 2; ++i) {
    double frequency = 1.0 / std::pow(rotary.base, 2.0 * i / head_dim);
    if (rotary.scaling == RotaryScaling::kLinear) {
      frequency /= rotary.factor;
    } else if (rotary.scaling == RotaryScaling::kLlama3) {
      const double wavelength = 2 * std::numbers::pi / frequency;
      if (wavelength > low_wavelength) {
        frequency /= rotary.factor;
      } else if (wavelength >= high_wavelength) {
        const double smooth =
            (rotary.original_context_tokens / wavelength - rotary.low_frequency_factor) /
            (rotary.high_frequency_factor - rotary.low_frequency_factor);
        frequency = (1 - smooth) * frequency / rotary.factor + smooth * frequency;
      }
    }
    frequencies[i] = static_cast<float>(frequency);
  }
  return frequencies;
}

}  // namespace hocket
