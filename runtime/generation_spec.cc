#include "runtime/generation_spec.h"

#include <cmath>
#include <string_view>

#include "absl/strings/str_cat.h"
#include "absl/strings/string_view.h"

namespace hocket {
namespace {

constexpr size_t kMaxStopStrings = 64;
constexpr size_t kMaxStopStringBytes = 1024;
constexpr size_t kMaxStopTokens = 1024;
constexpr int32_t kMaxTopLogprobs = 20;

absl::Status FieldError(absl::string_view field, absl::string_view problem) {
  return absl::InvalidArgumentError(absl::StrCat(field, ": ", problem));
}

absl::Status CheckRange(absl::string_view field, int64_t value, int64_t low, int64_t high) {
  if (value >= low && value <= high) return absl::OkStatus();
  return FieldError(field, absl::StrCat(value, " is outside [", low, ", ", high, "]"));
}

absl::Status CheckNotNegative(absl::string_view field, int64_t value) {
  if (value >= 0) return absl::OkStatus();
  return FieldError(field, absl::StrCat(value, " is negative"));
}

absl::Status CheckCount(absl::string_view field, size_t count, size_t limit) {
  if (count <= limit) return absl::OkStatus();
  return FieldError(field, absl::StrCat(count, " entries are more than the limit of ", limit));
}

// The offset of the first byte that is not part of valid UTF-8 (RFC 3629), or npos.
size_t InvalidUtf8(std::string_view text) {
  for (size_t i = 0; i < text.size();) {
    const auto byte = [&](size_t at) { return static_cast<unsigned char>(text[at]); };
    const unsigned char first = byte(i);
    const size_t length = first < 0x80   ? 1
                          : first < 0xC2 ? 0
                          : first < 0xE0 ? 2
                          : first < 0xF0 ? 3
                          : first < 0xF5 ? 4
                                         : 0;
    if (length == 0 || i + length > text.size()) return i;
    for (size_t k = 1; k < length; ++k) {
      if ((byte(i + k) & 0xC0) != 0x80) return i;
    }
    // Overlong forms, surrogates and code points above U+10FFFF show in the second byte.
    if (length > 2) {
      const unsigned char second = byte(i + 1);
      if ((first == 0xE0 && second < 0xA0) || (first == 0xED && second > 0x9F) ||
          (first == 0xF0 && second < 0x90) || (first == 0xF4 && second > 0x8F)) {
        return i;
      }
    }
    i += length;
  }
  return std::string_view::npos;
}

absl::Status CheckStopString(size_t index, std::string_view stop) {
  const std::string field = absl::StrCat("stopping.stop_strings[", index, "]");
  if (stop.empty()) return FieldError(field, "is empty");
  if (stop.size() > kMaxStopStringBytes) {
    return FieldError(field, absl::StrCat(stop.size(), " bytes are more than the limit of ",
                                          kMaxStopStringBytes));
  }
  if (const size_t at = InvalidUtf8(stop); at != std::string_view::npos) {
    return FieldError(field, absl::StrCat("is not valid UTF-8 at byte ", at));
  }
  return absl::OkStatus();
}

}  // namespace

absl::Status SamplingSettings::Validate() const {
  if (!std::isfinite(temperature) || temperature < 0) {
    return FieldError("sampling.temperature",
                      absl::StrCat(temperature, " is not a finite number of at least 0"));
  }
  if (!(top_p > 0 && top_p <= 1)) {
    return FieldError("sampling.top_p", absl::StrCat(top_p, " is outside (0, 1]"));
  }
  return CheckNotNegative("sampling.top_k", top_k);
}

absl::Status StoppingSettings::Validate() const {
  absl::Status status = CheckNotNegative("stopping.max_new_tokens", max_new_tokens);
  status.Update(CheckNotNegative("stopping.min_new_tokens", min_new_tokens));
  if (status.ok() && min_new_tokens > max_new_tokens) {
    status = FieldError(
        "stopping.min_new_tokens",
        absl::StrCat(min_new_tokens, " is more than max_new_tokens, which is ", max_new_tokens));
  }
  status.Update(CheckCount("stopping.stop_tokens", stop_tokens.size(), kMaxStopTokens));
  status.Update(CheckCount("stopping.stop_strings", stop_strings.size(), kMaxStopStrings));
  if (!status.ok()) return status;
  for (size_t i = 0; i < stop_tokens.size(); ++i) {
    status.Update(CheckNotNegative(absl::StrCat("stopping.stop_tokens[", i, "]"), stop_tokens[i]));
  }
  for (size_t i = 0; i < stop_strings.size(); ++i) {
    status.Update(CheckStopString(i, stop_strings[i]));
  }
  return status;
}

absl::Status OutputSettings::Validate() const {
  absl::Status status = CheckRange("output.top_logprobs", top_logprobs, 0, kMaxTopLogprobs);
  status.Update(CheckRange("output.prompt_top_logprobs", prompt_top_logprobs, 0, kMaxTopLogprobs));
  return status;
}

absl::Status GenerationSpec::Validate() const {
  absl::Status status = sampling.Validate();
  status.Update(stopping.Validate());
  status.Update(output.Validate());
  return status;
}

}  // namespace hocket
