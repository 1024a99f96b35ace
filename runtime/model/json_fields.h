// Typed reads from a JSON object whose errors name the file, the field, what was found and what was
// expected. For the small configuration files of a model folder; any thread.
#ifndef HOCKET_RUNTIME_MODEL_JSON_FIELDS_H_
#define HOCKET_RUNTIME_MODEL_JSON_FIELDS_H_

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "nlohmann/json.hpp"

namespace hocket {

// Parses a file's text. INVALID_ARGUMENT naming the file when it is not one JSON object.
absl::StatusOr<nlohmann::json> ParseJsonObject(std::string_view text, const std::string& path);

// Reads fields of one object. The first error is kept, later reads return their fallback; callers
// check status() once at the end. A field that is null counts as missing.
class JsonFields {
 public:
  // `prefix` names the object within the file: "" or "rope_scaling.".
  JsonFields(const nlohmann::json& object, std::string path, std::string prefix = "")
      : object_(object), path_(std::move(path)), prefix_(std::move(prefix)) {}

  const absl::Status& status() const { return status_; }
  bool Has(const std::string& name) const;
  const nlohmann::json* Find(const std::string& name) const;

  // A whole number within [1, most]. Required when there is no fallback.
  int32_t PositiveInt(const std::string& name, std::optional<int32_t> fallback = std::nullopt,
                      int32_t most = 1 << 30);
  double PositiveNumber(const std::string& name, std::optional<double> fallback = std::nullopt);
  bool Bool(const std::string& name, bool fallback);
  std::string String(const std::string& name, std::optional<std::string> fallback = std::nullopt);
  // One whole number of [0, 2^31) or a list of them; empty when missing.
  std::vector<int32_t> Ints(const std::string& name);

  void Fail(const std::string& name, const std::string& problem);

 private:
  const nlohmann::json& object_;
  std::string path_;
  std::string prefix_;
  absl::Status status_;
};

}  // namespace hocket

#endif  // HOCKET_RUNTIME_MODEL_JSON_FIELDS_H_
