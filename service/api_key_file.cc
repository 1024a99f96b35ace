#include "service/api_key_file.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <nlohmann/json.hpp>
#include <optional>
#include <set>
#include <string>
#include <utility>

#include "absl/algorithm/container.h"
#include "absl/strings/ascii.h"
#include "absl/strings/escaping.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"

namespace hocket {
namespace {

using Json = nlohmann::json;

constexpr size_t kMaxEntries = 100'000;
constexpr size_t kMaxNameBytes = 128;
constexpr size_t kMaxSanBytes = 2048;
constexpr double kMinWeight = 0.01;
constexpr double kMaxWeight = 100;
constexpr int64_t kMaxInt32 = std::numeric_limits<int32_t>::max();

absl::Status Wrong(absl::string_view path, absl::string_view what) {
  return absl::InvalidArgumentError(absl::StrCat(path, ": ", what));
}

// A value as an error shows it. What holds values is only named: it may be as deep as its file is
// long, and writing it out takes the stack a call for each level.
std::string Shown(const Json& value) {
  if (value.is_structured()) return value.is_array() ? "a list" : "an object";
  constexpr size_t kMaxBytes = 60;
  const std::string text = value.dump(-1, ' ', /*ensure_ascii=*/true);
  return text.size() <= kMaxBytes ? text : absl::StrCat(text.substr(0, kMaxBytes), "...");
}

// The members of one JSON object. Reading one that is missing or wrong leaves its target alone and
// notes the first error; status() also names a member that nobody has read.
class Members {
 public:
  Members(const Json& object, std::string prefix) : object_(object), prefix_(std::move(prefix)) {}

  const Json* Find(const char* name) {
    read_.insert(name);
    const auto found = object_.find(name);
    return found == object_.end() ? nullptr : &*found;
  }

  void Fail(absl::string_view name, absl::string_view what) {
    if (status_.ok()) status_ = Wrong(absl::StrCat(prefix_, name), what);
  }

  std::optional<std::string> Text(const char* name, size_t max_bytes) {
    const Json* value = Find(name);
    if (value == nullptr) return std::nullopt;
    if (!value->is_string() || value->get_ref<const std::string&>().empty()) {
      Fail(name, absl::StrCat(Shown(*value), " is no text, or is empty"));
      return std::nullopt;
    }
    const std::string& text = value->get_ref<const std::string&>();
    if (text.size() > max_bytes) {
      Fail(name, absl::StrCat(text.size(), " bytes are more than the limit of ", max_bytes));
    } else if (absl::c_any_of(text, [](char c) { return absl::ascii_iscntrl(c); })) {
      Fail(name, "has control characters");
    }
    return text;
  }

  std::string NeededText(const char* name, size_t max_bytes) {
    if (Find(name) == nullptr) Fail(name, "is missing");
    return Text(name, max_bytes).value_or("");
  }

  std::optional<int64_t> WholeNumber(const char* name, int64_t low, int64_t high) {
    const Json* value = Find(name);
    if (value == nullptr) return std::nullopt;
    const bool fits = value->is_number_integer() &&
                      !(value->is_number_unsigned() &&
                        value->get<uint64_t>() > uint64_t{std::numeric_limits<int64_t>::max()});
    if (fits && value->get<int64_t>() >= low && value->get<int64_t>() <= high) {
      return value->get<int64_t>();
    }
    Fail(name, absl::StrCat(Shown(*value), " is no whole number in [", low, ", ", high, "]"));
    return std::nullopt;
  }

  std::optional<double> Number(const char* name, double low, double high) {
    const Json* value = Find(name);
    if (value == nullptr) return std::nullopt;
    if (value->is_number() && value->get<double>() >= low && value->get<double>() <= high) {
      return value->get<double>();
    }
    Fail(name, absl::StrCat(Shown(*value), " is no number in [", low, ", ", high, "]"));
    return std::nullopt;
  }

  // Of everything read so far.
  absl::Status status() {
    for (const auto& [name, value] : object_.items()) {
      if (!read_.contains(name)) Fail(absl::CHexEscape(name), "is not a known member");
    }
    return status_;
  }

 private:
  const Json& object_;
  const std::string prefix_;
  std::set<std::string> read_;
  absl::Status status_;
};

std::optional<PriorityClass> ReadClass(Members& members, const char* name) {
  const std::optional<std::string> text = members.Text(name, kMaxNameBytes);
  if (!text) return std::nullopt;
  if (*text == "interactive") return PriorityClass::kInteractive;
  if (*text == "standard") return PriorityClass::kStandard;
  if (*text == "batch") return PriorityClass::kBatch;
  members.Fail(name, absl::StrCat("\"", absl::CHexEscape(*text),
                                  "\" is none of interactive, standard, batch"));
  return std::nullopt;
}

void ReadPriorities(Members& members, Caller& caller) {
  const std::optional<PriorityClass> highest = ReadClass(members, "highest_priority");
  const std::optional<PriorityClass> by_default = ReadClass(members, "default_priority");
  if (highest) caller.highest_priority = *highest;
  // A class is served before those of greater value.
  caller.default_priority =
      by_default.value_or(std::max(caller.default_priority, caller.highest_priority));
  if (caller.default_priority < caller.highest_priority) {
    members.Fail("default_priority", "is higher than highest_priority");
  }
}

void ReadScopes(Members& members, Caller& caller) {
  const Json* scopes = members.Find("scopes");
  caller.may_generate = false;
  if (scopes == nullptr) return members.Fail("scopes", "is missing");
  if (!scopes->is_array() || scopes->empty()) {
    return members.Fail("scopes", "is no list, or an empty one");
  }
  for (const Json& scope : *scopes) {
    bool* granted = scope == "generate" ? &caller.may_generate
                    : scope == "admin"  ? &caller.may_admin
                                        : nullptr;
    if (granted == nullptr) {
      return members.Fail("scopes", absl::StrCat(Shown(scope), " is none of generate, admin"));
    }
    if (std::exchange(*granted, true)) {
      return members.Fail("scopes", absl::StrCat(Shown(scope), " comes twice"));
    }
  }
}

void ReadLimits(Members& members, Caller& caller) {
  const Json* object = members.Find("limits");
  if (object == nullptr) return;
  if (!object->is_object()) return members.Fail("limits", "is no JSON object");
  Members limits(*object, "");
  const auto narrow = [](std::optional<int64_t> value) {
    return value ? std::optional<int32_t>(static_cast<int32_t>(*value)) : std::nullopt;
  };
  caller.limits.max_requests = narrow(limits.WholeNumber("max_requests", 1, kMaxInt32));
  caller.limits.max_waiting_requests =
      narrow(limits.WholeNumber("max_waiting_requests", 1, kMaxInt32));
  caller.limits.max_waiting_tokens = limits.WholeNumber("max_waiting_tokens", 1, kMaxInt32);
  if (const absl::Status status = limits.status(); !status.ok()) {
    members.Fail("limits", status.message());
  }
}

void ReadIdentity(Members& members, ApiKeyEntry& entry) {
  const std::optional<std::string> hex = members.Text("sha256", kMaxNameBytes);
  entry.certificate_san = members.Text("certificate_san", kMaxSanBytes).value_or("");
  if (hex.has_value() == !entry.certificate_san.empty()) {
    return members.Fail("sha256", "give exactly one of sha256 and certificate_san");
  }
  if (!hex) return;
  KeyDigest digest;
  const bool digits = absl::c_all_of(*hex, [](char c) { return absl::ascii_isxdigit(c); });
  if (!digits || hex->size() != 2 * digest.size()) {
    // The value is not shown: it may be the key itself.
    return members.Fail("sha256", "is not the 64 hexadecimal digits of a SHA-256");
  }
  const std::string bytes = absl::HexStringToBytes(*hex);
  std::copy(bytes.begin(), bytes.end(), digest.begin());
  entry.digest = digest;
}

void ReadExpiry(Members& members, ApiKeyEntry& entry) {
  const std::optional<std::string> text = members.Text("expires", kMaxNameBytes);
  if (!text) return;
  std::string error;
  // The parser also takes "infinite-future".
  if (!absl::ascii_isdigit(text->front()) ||
      !absl::ParseTime(absl::RFC3339_full, *text, &entry.expires, &error)) {
    members.Fail("expires",
                 absl::StrCat("\"", absl::CHexEscape(*text),
                              "\" is no time of RFC 3339, such as 2030-12-31T23:59:59Z"));
  }
}

absl::StatusOr<ApiKeyEntry> ReadEntry(const Json& object, size_t index) {
  const bool named = object.is_object() && object.contains("name") && object.at("name").is_string();
  const std::string name = named ? absl::CHexEscape(object.at("name").get<std::string>()) : "";
  const std::string path = absl::StrCat("keys[", index, "]");
  if (!object.is_object()) return Wrong(path, "is no JSON object");
  Members members(object,
                  named ? absl::StrCat(path, " (\"", name, "\"): ") : absl::StrCat(path, ": "));
  ApiKeyEntry entry;
  entry.caller.key_name = members.NeededText("name", kMaxNameBytes);
  entry.caller.tenant = members.NeededText("tenant", kMaxTenantBytes);
  if (!absl::c_all_of(entry.caller.tenant, [](char c) { return absl::ascii_isprint(c); })) {
    members.Fail("tenant", "is not printable ASCII, as metadata is");
  }
  ReadIdentity(members, entry);
  ReadScopes(members, entry.caller);
  entry.caller.weight = members.Number("weight", kMinWeight, kMaxWeight).value_or(1);
  ReadPriorities(members, entry.caller);
  if (const auto tokens = members.WholeNumber("max_new_tokens", 1, kMaxInt32)) {
    entry.caller.max_new_tokens = static_cast<int32_t>(*tokens);
  }
  ReadLimits(members, entry.caller);
  ReadExpiry(members, entry);
  if (absl::Status status = members.status(); !status.ok()) return status;
  return entry;
}

// Parses; objects in which a name comes twice are refused, for only one of both would count.
absl::StatusOr<Json> ParseStrictly(absl::string_view text) {
  std::vector<std::set<std::string>> open;
  std::string twice;
  const auto note = [&](int, Json::parse_event_t event, Json& parsed) {
    if (event == Json::parse_event_t::object_start) open.emplace_back();
    if (event == Json::parse_event_t::object_end) open.pop_back();
    if (event == Json::parse_event_t::key &&
        !open.back().insert(parsed.get<std::string>()).second && twice.empty()) {
      twice = parsed.get<std::string>();
    }
    return true;
  };
  Json document;
  try {
    document = Json::parse(text.begin(), text.end(), note);
  } catch (const Json::parse_error& error) {
    const size_t end = std::min(error.byte, text.size());
    const int64_t line = 1 + std::count(text.begin(), text.begin() + end, '\n');
    return absl::InvalidArgumentError(absl::StrCat("is not JSON, at line ", line));
  } catch (const Json::exception&) {  // A number that no double holds.
    return absl::InvalidArgumentError("has a number that is too large");
  }
  if (!twice.empty()) {
    return absl::InvalidArgumentError(
        absl::StrCat("\"", absl::CHexEscape(twice), "\" comes twice in one object"));
  }
  return document;
}

}  // namespace

bool IsUri(absl::string_view name) { return absl::StrContains(name, "://"); }

absl::StatusOr<std::vector<ApiKeyEntry>> ParseApiKeyFile(absl::string_view json) {
  absl::StatusOr<Json> document = ParseStrictly(json);
  if (!document.ok()) return document.status();
  if (!document->is_object() || !document->contains("keys") || !document->at("keys").is_array()) {
    return absl::InvalidArgumentError("is no JSON object with a list named keys");
  }
  Members top(*document, "");
  const Json& list = *top.Find("keys");
  if (absl::Status status = top.status(); !status.ok()) return status;
  if (list.size() > kMaxEntries) {
    return Wrong("keys", absl::StrCat(list.size(), " are more than the limit of ", kMaxEntries));
  }
  std::vector<ApiKeyEntry> entries;
  for (size_t i = 0; i < list.size(); ++i) {
    absl::StatusOr<ApiKeyEntry> entry = ReadEntry(list[i], i);
    if (!entry.ok()) return entry.status();
    entries.push_back(*std::move(entry));
  }
  return entries;
}

}  // namespace hocket
