#include "service/cli/model_choice.h"

#include <array>
#include <set>
#include <vector>

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/strings/str_split.h"
#include "service/cli/byte_size.h"
#include "service/cli/edit_distance.h"

namespace hocket {
namespace {

constexpr size_t kMaxNameBytes = 128;
constexpr int32_t kMaxThreads = 1024;
constexpr std::array<const char*, 5> kKeys = {"precision", "kv-precision", "threads",
                                              "kv-cache-bytes", "trace-plans"};

absl::Status ReadSetting(absl::string_view key, const std::string& value, ModelChoice& choice) {
  if (value.empty()) return absl::InvalidArgumentError(absl::StrCat(key, " is empty"));
  if (key == "precision") {
    const absl::StatusOr<Precision> precision = ParsePrecision(value);
    if (!precision.ok()) return precision.status();
    choice.precision = *precision;
  } else if (key == "kv-precision") {
    const absl::StatusOr<KvPrecision> precision = ParseKvPrecision(value);
    if (!precision.ok()) return precision.status();
    choice.kv_precision = *precision;
  } else if (key == "threads") {
    int32_t threads = 0;
    if (!absl::SimpleAtoi(value, &threads) || threads < 1 || threads > kMaxThreads) {
      return absl::InvalidArgumentError(
          absl::StrCat("threads: ", value, " is no whole number from 1 to ", kMaxThreads));
    }
    choice.threads = threads;
  } else if (key == "kv-cache-bytes") {
    const absl::StatusOr<int64_t> bytes = ParseByteSize(value);
    if (!bytes.ok()) return bytes.status();
    if (*bytes < 1) return absl::InvalidArgumentError("kv-cache-bytes: 0 is no size");
    choice.kv_cache_bytes = *bytes;
  } else if (key == "trace-plans") {
    choice.trace_plans = value;
  } else {
    const std::vector<std::string> keys(kKeys.begin(), kKeys.end());
    const std::optional<std::string> near = Nearest(key, keys);
    return absl::InvalidArgumentError(
        absl::StrCat("a model has no setting \"", key, "\"; ",
                     near ? absl::StrCat("did you mean \"", *near, "\"")
                          : absl::StrCat("it may have ", absl::StrJoin(keys, ", "))));
  }
  return absl::OkStatus();
}

absl::Status ReadSettings(absl::string_view text, ModelChoice& choice) {
  std::set<absl::string_view> seen;
  for (const absl::string_view part : absl::StrSplit(text, ',')) {
    const size_t equals = part.find('=');
    if (equals == absl::string_view::npos) {
      return absl::InvalidArgumentError(
          absl::StrCat("\"", part, "\" behind the folder is no KEY=VALUE"));
    }
    const absl::string_view key = part.substr(0, equals);
    if (!seen.insert(key).second) {
      return absl::InvalidArgumentError(absl::StrCat(key, " is given twice"));
    }
    absl::Status status = ReadSetting(key, std::string(part.substr(equals + 1)), choice);
    if (!status.ok()) return status;
  }
  return absl::OkStatus();
}

}  // namespace

absl::Status CheckModelName(absl::string_view name) {
  if (name.size() > kMaxNameBytes) {
    return absl::InvalidArgumentError(
        absl::StrCat("a name of ", name.size(), " bytes is longer than ", kMaxNameBytes));
  }
  for (const unsigned char byte : name) {
    if (byte > ' ' && byte < 0x7f && byte != ',' && byte != '"') continue;
    return absl::InvalidArgumentError(
        absl::StrCat("the name \"", name, "\" must be of visible ASCII without \" and commas"));
  }
  return absl::OkStatus();
}

absl::StatusOr<ModelChoice> ParseModelChoice(absl::string_view text) {
  ModelChoice choice;
  const size_t equals = text.find('=');
  if (equals == absl::string_view::npos) {
    if (text.empty()) return absl::InvalidArgumentError("is empty");
    choice.dir = std::string(text);
    return choice;
  }
  const absl::string_view name = text.substr(0, equals);
  if (name.empty()) return absl::InvalidArgumentError("the name before \"=\" is empty");
  if (absl::Status named = CheckModelName(name); !named.ok()) return named;
  choice.name = std::string(name);
  const absl::string_view rest = text.substr(equals + 1);
  const size_t comma = rest.find(',');
  choice.dir = std::string(rest.substr(0, comma));
  if (choice.dir.empty()) {
    return absl::InvalidArgumentError(absl::StrCat("no folder behind \"", name, "=\""));
  }
  if (comma == absl::string_view::npos) return choice;
  if (absl::Status read = ReadSettings(rest.substr(comma + 1), choice); !read.ok()) return read;
  return choice;
}

absl::Status CheckNames(std::span<const ModelChoice> choices) {
  if (choices.size() < 2) return absl::OkStatus();
  std::set<std::string> names;
  for (const ModelChoice& choice : choices) {
    if (choice.name.empty()) {
      return absl::InvalidArgumentError(
          absl::StrCat("--model: of several models each needs a name: "
                       "NAME=",
                       choice.dir));
    }
    if (!names.insert(choice.name).second) {
      return absl::InvalidArgumentError(
          absl::StrCat("--model: two models are called \"", choice.name, "\""));
    }
  }
  return absl::OkStatus();
}

}  // namespace hocket
