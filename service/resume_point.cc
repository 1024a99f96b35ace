#include "service/resume_point.h"

#include <algorithm>
#include <string>

#include "absl/strings/str_cat.h"
#include "service/field_checks.h"

namespace hocket {
namespace {

constexpr char kOffsets[] = "resume.token_offsets";
constexpr char kGenerated[] = "resume.generated_tokens";

std::string Entry(const char* path, size_t index) { return absl::StrCat(path, "[", index, "]"); }

// Whether the client's tokens are those of this request, as far as there are some.
absl::Status CheckGenerated(const ResumePoint& point, const ResumePoint& begun,
                            const EventLog& log) {
  std::vector<TokenId> known = begun.generated;
  const std::vector<TokenId> since = log.TokensOf(0);
  known.insert(known.end(), since.begin(), since.end());
  const size_t both = std::min(known.size(), point.generated.size());
  for (size_t i = 0; i < both; ++i) {
    if (point.generated[i] == known[i]) continue;
    return FieldError(Entry(kGenerated, i), absl::StrCat(point.generated[i], " is not ", known[i],
                                                         ", which this request has there"));
  }
  if (point.generated.size() <= known.size()) return absl::OkStatus();
  return FieldError(kGenerated, absl::StrCat(point.generated.size(), " tokens; this request has ",
                                             known.size(), " so far"));
}

}  // namespace

int64_t ResumePoint::Tokens(int32_t choice) const {
  if (choice == 0 && !generated.empty()) return static_cast<int64_t>(generated.size());
  return static_cast<size_t>(choice) < offsets.size() ? offsets[choice] : 0;
}

bool ResumePoint::HasTokens() const {
  return !generated.empty() || std::ranges::any_of(offsets, [](int64_t at) { return at > 0; });
}

absl::StatusOr<ResumePoint> ReadResume(const v1::Resume& in) {
  if (in.generated_tokens_size() > 0 && in.token_offsets_size() > 0) {
    return FieldError("resume", "only one of generated_tokens and token_offsets may be given");
  }
  ResumePoint point;
  point.generated.assign(in.generated_tokens().begin(), in.generated_tokens().end());
  point.offsets.assign(in.token_offsets().begin(), in.token_offsets().end());
  for (size_t i = 0; i < point.offsets.size(); ++i) {
    if (point.offsets[i] < 0) {
      return FieldError(Entry(kOffsets, i), absl::StrCat(point.offsets[i], " is negative"));
    }
  }
  return point;
}

absl::Status CheckOffsets(const v1::GenerateRequest& request, int32_t choices,
                          int32_t max_new_tokens, float temperature) {
  const auto& offsets = request.resume().token_offsets();
  absl::Status status = CheckCount(kOffsets, offsets.size(), choices);
  bool any = false;
  for (int i = 0; i < offsets.size(); ++i) {
    status.Update(CheckInt(Entry(kOffsets, i), offsets[i], 0, max_new_tokens));
    any = any || offsets[i] > 0;
  }
  if (!status.ok() || !any || request.sampling().has_seed() || temperature == 0) return status;
  return FieldError("sampling.seed", "is not set, and resume needs the first run's");
}

absl::StatusOr<LogCursor> CursorAt(const ResumePoint& point, const ResumePoint& begun,
                                   const EventLog& log, int32_t choices) {
  absl::Status status = CheckCount(kOffsets, static_cast<int64_t>(point.offsets.size()), choices);
  if (!point.generated.empty()) {
    if (choices > 1) {
      return FieldError(kGenerated, "only requests of one choice take it; see token_offsets");
    }
    status.Update(CheckGenerated(point, begun, log));
  }
  LogCursor cursor;
  cursor.tells_prompt = !point.HasTokens();
  const size_t places = std::max<size_t>(point.offsets.size(), 1);
  for (size_t i = 0; status.ok() && i < places; ++i) {
    const auto choice = static_cast<int32_t>(i);
    const int64_t at = point.Tokens(choice);
    const int64_t known = std::max(log.Tokens(choice), begun.Tokens(choice));
    if (at > known) {
      status.Update(FieldError(Entry(kOffsets, i),
                               absl::StrCat(at, " tokens; this request has ", known, " so far")));
    }
    cursor.choices.push_back({.tokens = at, .text = std::nullopt, .finished = false});
  }
  for (size_t i = 0; status.ok() && i < std::max<size_t>(log.choices(), 1); ++i) {
    const auto choice = static_cast<int32_t>(i);
    if (point.Tokens(choice) >= log.FirstToken(choice)) continue;
    status.Update(FieldError("resume", absl::StrCat("has ", point.Tokens(choice),
                                                    " tokens; the first ", log.FirstToken(choice),
                                                    " of choice ", choice, " are not held here")));
  }
  if (!status.ok()) return status;
  return cursor;
}

}  // namespace hocket
