#include "runtime/model/generation_defaults.h"

#include "absl/strings/str_cat.h"
#include "runtime/model/json_fields.h"
#include "runtime/model/mapped_file.h"

namespace hocket {

absl::Status ReadGenerationDefaults(const std::string& folder, ModelInfo& info) {
  const std::string path = absl::StrCat(folder, "/generation_config.json");
  const auto text = ReadTextFile(path);
  if (absl::IsNotFound(text.status())) return absl::OkStatus();
  if (!text.ok()) return text.status();
  const auto config = ParseJsonObject(*text, path);
  if (!config.ok()) return config.status();

  JsonFields fields(*config, path);
  const std::vector<TokenId> end_of_text = fields.Ints("eos_token_id");
  if (!end_of_text.empty()) info.end_of_text_tokens = end_of_text;
  SamplingSettings& sampling = info.default_sampling;
  // A temperature of 0 is written by some models, and means greedy.
  const nlohmann::json* temperature = fields.Find("temperature");
  if (temperature != nullptr && *temperature == 0) {
    sampling.temperature = 0;
  } else {
    sampling.temperature =
        static_cast<float>(fields.PositiveNumber("temperature", sampling.temperature));
  }
  if (fields.Has("do_sample") && !fields.Bool("do_sample", true)) sampling.temperature = 0;
  const nlohmann::json* top_k = fields.Find("top_k");
  if (top_k != nullptr && *top_k == 0) {
    sampling.top_k = 0;
  } else if (top_k != nullptr) {
    sampling.top_k = fields.PositiveInt("top_k");
  }
  sampling.top_p = static_cast<float>(fields.PositiveNumber("top_p", sampling.top_p));
  if (fields.status().ok() && sampling.top_p > 1) fields.Fail("top_p", "is above 1");
  return fields.status();
}

}  // namespace hocket
