#include "service/trace_context.h"

#include <algorithm>

namespace hocket {
namespace {

constexpr size_t kVersionDigits = 2;
constexpr size_t kTraceDigits = 32;
constexpr size_t kSpanDigits = 16;
constexpr size_t kFlagDigits = 2;
constexpr size_t kVersion0Bytes = kVersionDigits + kTraceDigits + kSpanDigits + kFlagDigits + 3;

bool IsHex(absl::string_view text) {
  return std::all_of(text.begin(), text.end(), [](char character) {
    return (character >= '0' && character <= '9') || (character >= 'a' && character <= 'f');
  });
}

bool IsAll(absl::string_view text, char wanted) {
  return std::all_of(text.begin(), text.end(), [wanted](char digit) { return digit == wanted; });
}

// Takes `digits` hexadecimal digits off the front, and the dash behind them if there is more; empty
// when they are not there.
absl::string_view TakeField(absl::string_view& rest, size_t digits) {
  const absl::string_view field = rest.substr(0, digits);
  if (field.size() < digits || !IsHex(field)) return {};
  rest.remove_prefix(digits);
  if (rest.empty()) return field;
  if (rest.front() != '-') return {};
  rest.remove_prefix(1);
  return field;
}

}  // namespace

std::optional<TraceContext> ParseTraceparent(absl::string_view traceparent) {
  absl::string_view rest = traceparent;
  const absl::string_view version = TakeField(rest, kVersionDigits);
  const absl::string_view trace_id = TakeField(rest, kTraceDigits);
  const absl::string_view span_id = TakeField(rest, kSpanDigits);
  const absl::string_view flags = TakeField(rest, kFlagDigits);
  if (version.empty() || trace_id.empty() || span_id.empty() || flags.empty()) return {};
  if (version == "ff" || (version == "00" && traceparent.size() != kVersion0Bytes)) return {};
  if (IsAll(trace_id, '0') || IsAll(span_id, '0')) return {};
  return TraceContext{std::string(trace_id), std::string(span_id), std::string(flags)};
}

}  // namespace hocket
