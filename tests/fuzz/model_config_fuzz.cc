// config.json and generation_config.json of unknown origin: refused by file and field, or values
// that the decoder and the sampler can work with.
#include <algorithm>
#include <cmath>

#include "fuzz_input.h"
#include "promise.h"
#include "runtime/generation_config.h"
#include "runtime/model/architecture_spec.h"
#include "tests/runtime/text/fixtures.h"

namespace hocket::fuzz {
namespace {

constexpr int32_t kVocabulary = 512;

void CheckRefusal(const absl::Status& status) {
  const std::string message(status.message());
  Promise(absl::IsInvalidArgument(status) || absl::IsUnimplemented(status),
          "a file is refused for what it says", status.ToString());
  Promise(message.find("config.json: ") != std::string::npos, "a refusal names the file", message);
  Promise(message.size() < 1000, "a refusal is short", message);
}

void CheckArchitecture(const std::string& json) {
  const absl::StatusOr<ArchitectureSpec> spec = ParseArchitecture(json, "config.json");
  if (!spec.ok()) return CheckRefusal(spec.status());
  for (const int32_t size : {spec->layers, spec->hidden_size, spec->intermediate_size, spec->heads,
                             spec->kv_heads, spec->head_dim, spec->vocabulary_size,
                             spec->max_context_tokens, spec->QkvSize(), spec->AttentionSize()}) {
    Promise(size > 0, "sizes are positive");
  }
  Promise(spec->heads % spec->kv_heads == 0, "key-value heads divide the heads");
  Promise(spec->head_dim % 8 == 0, "a head's size is a multiple of 8");
  Promise(std::isfinite(spec->norm_epsilon) && spec->norm_epsilon > 0, "norms divide by something");
  const std::vector<float> frequencies = RotaryFrequencies(spec->rotary, spec->head_dim);
  Promise(static_cast<int32_t>(frequencies.size()) == spec->head_dim / 2,
          "a frequency for each pair");
  for (const float frequency : frequencies) {
    const float angle = frequency * static_cast<float>(spec->max_context_tokens);
    Promise(std::isfinite(angle) && frequency >= 0, "positions turn by a finite angle", json);
  }
}

void CheckGeneration(const std::string& path) {
  const absl::StatusOr<GenerationConfig> config = ReadGenerationConfig(path, kVocabulary);
  if (!config.ok()) return CheckRefusal(config.status());
  Promise(config->default_sampling.Validate().ok(), "recommended settings can be used");
  const std::vector<TokenId>& ends = config->end_of_text_tokens;
  Promise(std::is_sorted(ends.begin(), ends.end(), std::less_equal<>()), "each end once, sorted");
  for (const TokenId token : ends) {
    Promise(token >= 0 && token < kVocabulary, "ends are tokens of the model");
  }
}

void Check(FuzzInput input) {
  static const auto* const folder = new testing::ScratchDir();
  const uint8_t flags = input.Byte();
  const std::string json = input.Rest();
  CheckArchitecture(json);
  folder->Write("generation_config.json", flags & 1 ? json : R"({"do_sample":true})");
  folder->Write("config.json", flags & 1 ? R"({"eos_token_id":[2,1]})" : json);
  CheckGeneration(folder->path());
}

}  // namespace
}  // namespace hocket::fuzz

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  hocket::fuzz::Check({data, size});
  return 0;
}
