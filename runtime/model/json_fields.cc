#include "runtime/model/json_fields.h"

#include "absl/strings/str_cat.h"

namespace hocket {
namespace {

// A value as an error shows it. What holds values is only named: it may be as deep as its file is
// long, and writing it out takes the stack a call for each level.
std::string Shown(const nlohmann::json& value) {
  if (value.is_structured()) return value.is_array() ? "a list" : "an object";
  std::string text = value.dump(-1, ' ', true, nlohmann::json::error_handler_t::replace);
  if (text.size() > 60) text = text.substr(0, 57) + "...";
  return text;
}

bool IsWholeNumber(const nlohmann::json& value, int64_t least, int64_t most) {
  if (!value.is_number_integer()) return false;
  if (value.is_number_unsigned() && value.get<uint64_t>() > static_cast<uint64_t>(most))
    return false;
  const int64_t number = value.get<int64_t>();
  return number >= least && number <= most;
}

}  // namespace

absl::StatusOr<nlohmann::json> ParseJsonObject(std::string_view text, const std::string& path) {
  nlohmann::json parsed = nlohmann::json::parse(text, nullptr, /*allow_exceptions=*/false);
  if (parsed.is_discarded()) {
    return absl::InvalidArgumentError(absl::StrCat(path, ": not valid JSON"));
  }
  if (!parsed.is_object()) {
    return absl::InvalidArgumentError(absl::StrCat(path, ": expected a JSON object"));
  }
  return parsed;
}

bool JsonFields::Has(const std::string& name) const { return Find(name) != nullptr; }

const nlohmann::json* JsonFields::Find(const std::string& name) const {
  const auto found = object_.find(name);
  return found == object_.end() || found->is_null() ? nullptr : &*found;
}

void JsonFields::Fail(const std::string& name, const std::string& problem) {
  if (!status_.ok()) return;
  status_ = absl::InvalidArgumentError(absl::StrCat(path_, ": ", prefix_, name, " ", problem));
}

int32_t JsonFields::PositiveInt(const std::string& name, std::optional<int32_t> fallback,
                                int32_t most) {
  const nlohmann::json* value = Find(name);
  if (value == nullptr) {
    if (!fallback) Fail(name, "is missing");
    return fallback.value_or(1);
  }
  if (!IsWholeNumber(*value, 1, most)) {
    Fail(name, absl::StrCat("is ", Shown(*value), ", expected a whole number from 1 to ", most));
    return 1;
  }
  return value->get<int32_t>();
}

double JsonFields::PositiveNumber(const std::string& name, std::optional<double> fallback) {
  const nlohmann::json* value = Find(name);
  if (value == nullptr) {
    if (!fallback) Fail(name, "is missing");
    return fallback.value_or(1);
  }
  if (!value->is_number() || !(value->get<double>() > 0) || value->get<double>() > 1e30) {
    Fail(name, absl::StrCat("is ", Shown(*value), ", expected a positive number"));
    return 1;
  }
  return value->get<double>();
}

bool JsonFields::Bool(const std::string& name, bool fallback) {
  const nlohmann::json* value = Find(name);
  if (value == nullptr) return fallback;
  if (!value->is_boolean()) {
    Fail(name, absl::StrCat("is ", Shown(*value), ", expected true or false"));
    return fallback;
  }
  return value->get<bool>();
}

std::string JsonFields::String(const std::string& name, std::optional<std::string> fallback) {
  const nlohmann::json* value = Find(name);
  if (value == nullptr) {
    if (!fallback) Fail(name, "is missing");
    return fallback.value_or("");
  }
  if (!value->is_string()) {
    Fail(name, absl::StrCat("is ", Shown(*value), ", expected a string"));
    return "";
  }
  return value->get<std::string>();
}

std::vector<int32_t> JsonFields::Ints(const std::string& name) {
  std::vector<int32_t> numbers;
  const nlohmann::json* value = Find(name);
  if (value == nullptr) return numbers;
  const auto add = [&](const nlohmann::json& item) {
    if (IsWholeNumber(item, 0, 0x7fffffff)) {
      numbers.push_back(item.get<int32_t>());
    } else {
      Fail(name, absl::StrCat("holds ", Shown(item), ", expected token ids"));
    }
  };
  if (value->is_array()) {
    for (const auto& item : *value) add(item);
  } else {
    add(*value);
  }
  return numbers;
}

}  // namespace hocket
