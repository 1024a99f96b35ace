#include "scheduler/step_text.h"

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"

namespace hocket {

std::string_view FinishReasonName(FinishReason reason) {
  switch (reason) {
    case FinishReason::kStopToken:
      return "stop_token";
    case FinishReason::kStopString:
      return "stop_string";
    case FinishReason::kLength:
      return "length";
    case FinishReason::kContext:
      return "context";
    case FinishReason::kCancelled:
      return "cancelled";
    case FinishReason::kDeadline:
      return "deadline";
    case FinishReason::kShutdown:
      return "shutdown";
    case FinishReason::kError:
      return "error";
    case FinishReason::kConstraint:
      return "constraint";
    case FinishReason::kSentence:
      return "sentence";
    case FinishReason::kTimeLimit:
      return "time_limit";
    case FinishReason::kRepetition:
      return "repetition";
  }
  return "unknown";
}

std::string PlanText(const StepPlan& plan) {
  std::string text = absl::StrCat("step ", plan.step);
  for (const SequenceId sequence : plan.ends) absl::StrAppend(&text, " ends ", sequence);
  for (const SequenceStart& start : plan.starts) {
    absl::StrAppend(&text, " starts ", start.sequence);
    if (start.choice_index != 0) {
      absl::StrAppend(&text, "/", start.choice_index, " of ", start.group);
    }
  }
  for (const BlockCopy& copy : plan.copies) {
    absl::StrAppend(&text, " copies ", copy.source, ">", copy.target);
  }
  for (const PlanRow& row : plan.rows) {
    absl::StrAppend(&text, " row ", row.sequence, "@", row.first_position);
    if (row.forgotten_tokens > 0) absl::StrAppend(&text, "+", row.forgotten_tokens);
    const std::span<const TokenId> tokens = plan.RowTokens(row);
    const std::span<const TokenId> drafts = tokens.last(row.draft_tokens);
    absl::StrAppend(&text, row.samples ? "*[" : "[",
                    absl::StrJoin(tokens.first(tokens.size() - drafts.size()), ","));
    if (!drafts.empty()) absl::StrAppend(&text, "|", absl::StrJoin(drafts, ","));
    absl::StrAppend(&text, "]{", absl::StrJoin(plan.RowBlocks(row), ","), "}");
  }
  return text;
}

}  // namespace hocket
