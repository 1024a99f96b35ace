#include "runtime/generation_config.h"

#include <algorithm>
#include <fstream>
#include <optional>
#include <sstream>

#include "absl/strings/str_cat.h"
#include "nlohmann/json.hpp"
#include "runtime/model/json_fields.h"

namespace hocket {
namespace {

// Nothing when the folder has no such file.
absl::StatusOr<std::optional<nlohmann::json>> ReadJson(const std::string& path) {
  std::ifstream file(path, std::ios::binary);
  if (!file) return std::nullopt;
  std::ostringstream text;
  text << file.rdbuf();
  absl::StatusOr<nlohmann::json> object = ParseJsonObject(text.str(), path);
  if (!object.ok()) return object.status();
  return *std::move(object);
}

absl::StatusOr<std::vector<TokenId>> EndOfTextTokens(const nlohmann::json& object,
                                                     const std::string& path,
                                                     int32_t vocabulary_size) {
  // Some folders write -1 for "none".
  if (const auto found = object.find("eos_token_id"); found != object.end() && *found == -1) {
    return std::vector<TokenId>();
  }
  JsonFields fields(object, path);
  std::vector<TokenId> tokens = fields.Ints("eos_token_id");
  for (TokenId token : tokens) {
    if (token < vocabulary_size) continue;
    fields.Fail("eos_token_id",
                absl::StrCat("holds ", token, ", outside the vocabulary of ", vocabulary_size));
  }
  if (!fields.status().ok()) return fields.status();
  std::sort(tokens.begin(), tokens.end());
  tokens.erase(std::unique(tokens.begin(), tokens.end()), tokens.end());
  return tokens;
}

// Leaves `setting` as it is where the file does not say.
void ReadNumber(JsonFields& fields, const std::string& name, float& setting) {
  const nlohmann::json* value = fields.Find(name);
  if (value == nullptr) return;
  if (value->is_number()) {
    setting = value->get<float>();
  } else {
    fields.Fail(name, "is not a number");
  }
}

absl::StatusOr<SamplingSettings> DefaultSampling(const nlohmann::json& object,
                                                 const std::string& path) {
  SamplingSettings sampling;
  JsonFields fields(object, path);
  if (fields.Bool("do_sample", true)) {
    ReadNumber(fields, "temperature", sampling.temperature);
    ReadNumber(fields, "top_p", sampling.top_p);
    ReadNumber(fields, "min_p", sampling.min_p);
    ReadNumber(fields, "typical_p", sampling.typical_p);
    ReadNumber(fields, "repetition_penalty", sampling.repetition_penalty);
    float top_k = 0;
    ReadNumber(fields, "top_k", top_k);
    // -1 and 0 are both in use for "all"; no vocabulary is larger than the upper bound.
    sampling.top_k = static_cast<int32_t>(std::clamp(top_k, 0.0f, 1e9f));
  }
  if (!fields.status().ok()) return fields.status();
  if (const absl::Status valid = sampling.Validate(); !valid.ok()) {
    return absl::InvalidArgumentError(absl::StrCat(path, ": ", valid.message()));
  }
  return sampling;
}

}  // namespace

absl::StatusOr<GenerationConfig> ReadGenerationConfig(const std::string& model_dir,
                                                      int32_t vocabulary_size) {
  GenerationConfig config;
  for (const char* const name : {"/generation_config.json", "/config.json"}) {
    const std::string path = model_dir + name;
    const absl::StatusOr<std::optional<nlohmann::json>> object = ReadJson(path);
    if (!object.ok()) return object.status();
    if (!object->has_value()) continue;
    if (config.end_of_text_tokens.empty()) {
      absl::StatusOr<std::vector<TokenId>> tokens =
          EndOfTextTokens(**object, path, vocabulary_size);
      if (!tokens.ok()) return tokens.status();
      config.end_of_text_tokens = *std::move(tokens);
    }
    if (path.ends_with("generation_config.json")) {
      absl::StatusOr<SamplingSettings> sampling = DefaultSampling(**object, path);
      if (!sampling.ok()) return sampling.status();
      config.default_sampling = *sampling;
    }
  }
  return config;
}

}  // namespace hocket
