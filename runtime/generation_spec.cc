#include "runtime/generation_spec.h"

#include <cmath>
#include <string_view>

#include "absl/strings/str_cat.h"
#include "absl/strings/string_view.h"
#include "runtime/generation_limits.h"

namespace hocket {
namespace {

absl::Status FieldError(absl::string_view field, absl::string_view problem) {
  return absl::InvalidArgumentError(absl::StrCat(field, ": ", problem));
}

absl::Status CheckRange(absl::string_view field, int64_t value, int64_t low, int64_t high) {
  if (value >= low && value <= high) return absl::OkStatus();
  return FieldError(field, absl::StrCat(value, " is outside [", low, ", ", high, "]"));
}

// `low_open`: low itself is not allowed. NaN never is.
absl::Status CheckFloat(absl::string_view field, float value, float low, float high,
                        bool low_open = false) {
  if ((low_open ? value > low : value >= low) && value <= high) return absl::OkStatus();
  return FieldError(
      field, absl::StrCat(value, " is outside ", low_open ? "(" : "[", low, ", ", high, "]"));
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

// A list of texts, none of them empty.
absl::Status CheckTexts(absl::string_view list, const std::vector<std::string>& texts,
                        size_t max_count, size_t max_bytes) {
  absl::Status status = CheckCount(list, texts.size(), max_count);
  for (size_t i = 0; status.ok() && i < texts.size(); ++i) {
    const std::string field = absl::StrCat(list, "[", i, "]");
    const size_t bytes = texts[i].size();
    if (bytes == 0) {
      status = FieldError(field, "is empty");
    } else if (bytes > max_bytes) {
      status =
          FieldError(field, absl::StrCat(bytes, " bytes are more than the limit of ", max_bytes));
    } else if (const size_t at = InvalidUtf8(texts[i]); at != std::string_view::npos) {
      status = FieldError(field, absl::StrCat("is not valid UTF-8 at byte ", at));
    }
  }
  return status;
}

absl::Status CheckDry(const DrySettings& dry) {
  absl::Status status = CheckFloat("sampling.dry.multiplier", dry.multiplier, 0, 100);
  status.Update(CheckFloat("sampling.dry.base", dry.base, 1, 8));
  status.Update(CheckRange("sampling.dry.allowed_length", dry.allowed_length, 1, 1024));
  status.Update(CheckNotNegative("sampling.dry.window_tokens", dry.window_tokens));
  status.Update(CheckTexts("sampling.dry.sequence_breakers", dry.sequence_breakers,
                           kMaxSequenceBreakers, kMaxSequenceBreakerBytes));
  return status;
}

}  // namespace

absl::Status SamplingSettings::Validate() const {
  absl::Status status;
  if (!std::isfinite(temperature) || temperature < 0) {
    status = FieldError("sampling.temperature",
                        absl::StrCat(temperature, " is not a finite number of at least 0"));
  }
  status.Update(CheckNotNegative("sampling.top_k", top_k));
  status.Update(CheckFloat("sampling.top_p", top_p, 0, 1, /*low_open=*/true));
  status.Update(CheckFloat("sampling.min_p", min_p, 0, 1));
  status.Update(CheckFloat("sampling.typical_p", typical_p, 0, 1, /*low_open=*/true));
  status.Update(CheckFloat("sampling.top_n_sigma", top_n_sigma, 0, 100));
  status.Update(CheckFloat("sampling.repetition_penalty", repetition_penalty, 0, 100,
                           /*low_open=*/true));
  status.Update(CheckFloat("sampling.presence_penalty", presence_penalty, -100, 100));
  status.Update(CheckFloat("sampling.frequency_penalty", frequency_penalty, -100, 100));
  status.Update(CheckNotNegative("sampling.penalty_window_tokens", penalty_window_tokens));
  if (dry) status.Update(CheckDry(*dry));
  if (xtc) {
    status.Update(CheckFloat("sampling.xtc.probability", xtc->probability, 0, 1));
    status.Update(CheckFloat("sampling.xtc.threshold", xtc->threshold, 0, 0.5f, /*low_open=*/true));
  }
  status.Update(CheckCount("sampling.logit_bias", logit_bias.size(), kMaxLogitBiases));
  for (const TokenBias& bias : logit_bias) {
    if (bias.value >= -100 && bias.value <= 100) continue;
    status.Update(
        CheckFloat(absl::StrCat("sampling.logit_bias[", bias.token, "]"), bias.value, -100, 100));
  }
  status.Update(CheckCount("sampling.allowed_tokens", allowed_tokens.size(), kMaxListedTokens));
  status.Update(CheckCount("sampling.banned_tokens", banned_tokens.size(), kMaxListedTokens));
  status.Update(CheckTexts("sampling.bad_words", bad_words, kMaxBadWords, kMaxBadWordBytes));
  return status;
}

absl::Status StoppingSettings::Validate() const {
  absl::Status status = CheckNotNegative("stopping.max_new_tokens", max_new_tokens);
  status.Update(CheckNotNegative("stopping.min_new_tokens", min_new_tokens));
  if (status.ok() && min_new_tokens > max_new_tokens) {
    status = FieldError(
        "stopping.min_new_tokens",
        absl::StrCat(min_new_tokens, " is more than max_new_tokens, which is ", max_new_tokens));
  }
  if (time_limit <= absl::ZeroDuration()) {
    status.Update(FieldError("stopping.time_limit", absl::StrCat(absl::FormatDuration(time_limit),
                                                                 " is not more than 0")));
  }
  if (repetition) {
    status.Update(CheckRange("stopping.repetition_detection.max_pattern_tokens",
                             repetition->max_pattern_tokens, 1, 1024));
    status.Update(
        CheckRange("stopping.repetition_detection.min_repeats", repetition->min_repeats, 2, 1024));
  }
  status.Update(CheckCount("stopping.stop_tokens", stop_tokens.size(), kMaxStopTokens));
  status.Update(
      CheckTexts("stopping.stop_strings", stop_strings, kMaxStopStrings, kMaxStopStringBytes));
  if (!status.ok()) return status;
  for (size_t i = 0; i < stop_tokens.size(); ++i) {
    status.Update(CheckNotNegative(absl::StrCat("stopping.stop_tokens[", i, "]"), stop_tokens[i]));
  }
  return status;
}

absl::Status OutputSettings::Validate() const {
  absl::Status status = CheckRange("output.top_logprobs", top_logprobs, 0, kMaxTopLogprobs);
  status.Update(CheckRange("output.prompt_top_logprobs", prompt_top_logprobs, 0, kMaxTopLogprobs));
  return status;
}

absl::Status BeamSettings::Validate() const {
  absl::Status status = CheckRange("beam_search.width", width, 2, kMaxBeamWidth);
  status.Update(CheckRange("choices.n", returned, 1, width));
  status.Update(CheckFloat("beam_search.length_penalty", length_penalty, -10, 10));
  return status;
}

absl::Status GenerationSpec::Validate() const {
  absl::Status status = sampling.Validate();
  status.Update(stopping.Validate());
  status.Update(output.Validate());
  if (beam) status.Update(beam->Validate());
  return status;
}

}  // namespace hocket
