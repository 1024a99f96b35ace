#include "service/request_log.h"

#include "absl/strings/str_cat.h"
#include "service/answer.h"
#include "service/error_reasons.h"
#include "service/field_checks.h"
#include "service/log_event.h"
#include "service/status.h"

namespace hocket {
namespace {

void AddText(LogEvent& event, absl::string_view key, const std::string& value) {
  if (!value.empty()) event.Text(key, value);
}

void AddTrace(LogEvent& event, const TraceContext& trace) {
  event.Text("trace_id", trace.trace_id)
      .Text("span_id", trace.span_id)
      .Text("trace_flags", trace.flags);
}

void AddFinish(LogEvent& event, const FinishedEvent& finished) {
  event.Text("finish_reason", v1::FinishReason_Name(FinishReasonOf(finished.finish.reason)))
      .Count("prompt_tokens", finished.usage.prompt_tokens)
      .Count("cached_tokens", finished.usage.cached_tokens)
      .Count("generated_tokens", finished.usage.generated_tokens)
      .Milliseconds("queued_ms", finished.timings.queued)
      .Milliseconds("slots_ms", finished.timings.waits.slots)
      .Milliseconds("blocks_ms", finished.timings.waits.blocks)
      .Milliseconds("budget_ms", finished.timings.waits.budget)
      .Milliseconds("fairness_ms", finished.timings.waits.fairness)
      .Milliseconds("prefill_ms", finished.timings.prefill)
      .Milliseconds("decode_ms", finished.timings.decode);
}

}  // namespace

void LogRequest(const RequestRecord& record) {
  const bool failed = record.status.code() == absl::StatusCode::kInternal;
  LogEvent event("request");
  AddText(event, "id",
          record.request_id.substr(0, kMaxRequestIdBytes));  // What is longer is refused.
  event.Text("method", record.method);
  AddText(event, "model", record.model);
  AddText(event, "tenant", record.tenant);
  AddText(event, "key", record.key_name);
  AddText(event, "peer", record.peer);
  event.Text("outcome", StatusLabel(record.status));
  if (!record.status.ok()) event.Text("reason", RowOf(ReasonOrFallback(record.status)).name);
  if (failed) event.Text("error", record.status.message());
  if (record.finished) AddFinish(event, *record.finished);
  if (record.first_token) event.Milliseconds("first_token_ms", *record.first_token);
  if (record.total) event.Milliseconds("total_ms", *record.total);
  if (record.trace) AddTrace(event, *record.trace);
  if (record.prompt) event.Text("prompt", *record.prompt);
  for (size_t i = 0; i < record.answers.size(); ++i) {
    event.Text(i == 0 ? "answer" : absl::StrCat("answer_", i), record.answers[i]);
  }
  event.Write(failed ? LogEvent::Level::kError : LogEvent::Level::kInfo);
}

}  // namespace hocket
