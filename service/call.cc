#include "service/call.h"

#include <spdlog/spdlog.h>

#include <utility>

#include "absl/strings/escaping.h"
#include "absl/strings/str_cat.h"
#include "scheduler/admission_gate.h"
#include "service/engine_errors.h"
#include "service/error_reasons.h"
#include "service/scheduling_settings.h"
#include "service/status.h"

namespace hocket {
namespace {

// Whether something is wanted of every prompt position, so that none may come from the cache.
bool NeedsWholePrompt(const OutputSettings& output) {
  return output.prompt_logprobs || output.embedding == EmbeddingPooling::kMean;
}

// gRPC ends a call whose deadline passes by cancelling it, by a timer of its own that may be early.
constexpr absl::Duration kDeadlineSlack = absl::Milliseconds(50);

}  // namespace

Call::Call(const CallParts& parts, absl::string_view method, bool streams, absl::Time deadline,
           Caller caller)
    : parts_(parts),
      method_(method),
      streams_(streams),
      deadline_(deadline),
      caller_(std::move(caller)),
      received_(absl::Now()) {
  context_.model_name = parts.validator->model_name();
  context_.text = parts.text;
}

void Call::Start(const std::string& request_id, Validate validate) {
  context_.request.request_id =
      request_id.empty() ? MakeRequestId() : request_id.substr(0, kMaxRequestIdBytes);
  // One that is too long is refused by `validate`.
  if (request_id.size() <= kMaxRequestIdBytes) {
    std::lock_guard lock(mutex_);
    registered_ = parts_.calls->Add(context_.request.request_id, weak_from_this());
    if (!registered_) {
      return RefuseLocked(
          ReasonError(ErrorReason::kRequestIdInUse,
                      absl::StrCat("request_id: a request with id \"", request_id, "\" is held")));
    }
  }
  std::shared_ptr<Call> self = shared_from_this();
  const bool taken = parts_.text_pool->TrySchedule(
      [self, validate = std::move(validate)] { self->Submit(validate); });
  if (taken) return;
  Refuse(WithRetryAfter(ReasonError(ErrorReason::kTextQueueFull,
                                    "too many requests wait to be tokenized; try again later"),
                        kRetryDelay));
}

absl::Status Call::Abandoned() const {
  std::lock_guard lock(mutex_);
  if (gone_ && absl::Now() + kDeadlineSlack >= deadline_) {
    return ReasonError(ErrorReason::kDeadlinePassed, "the call's deadline passed");
  }
  if (gone_) return ReasonError(ErrorReason::kCancelled, "the client went away");
  if (cancelled_) return ReasonError(ErrorReason::kCancelled, "the request was cancelled");
  return absl::OkStatus();
}

void Call::Submit(const Validate& validate) {
  absl::Status status = Abandoned();
  if (!status.ok()) return Refuse(std::move(status));
  absl::StatusOr<ValidRequest> valid = validate();
  if (!valid.ok()) return Refuse(valid.status());
  std::string request_id = std::move(context_.request.request_id);
  context_.request = *std::move(valid);
  context_.request.request_id = std::move(request_id);
  status = Abandoned();
  if (status.ok()) status = SubmitToEngine();
  if (!status.ok()) return Refuse(std::move(status));
  std::lock_guard lock(mutex_);
  // Only now may the id be cancelled: before, it could have been another request's.
  held_ = true;
  if ((gone_ || cancelled_) && !ended_) parts_.engine->Cancel(context_.request.request_id);
}

absl::Status Call::SubmitToEngine() {
  const ValidRequest& valid = context_.request;
  {
    std::lock_guard lock(mutex_);
    pending_.Expect(valid.shape.choices, valid.shape.ranked);
  }
  Request request;
  request.id = valid.request_id;
  request.prompt = valid.prompt;
  request.resumed = valid.resumed;
  request.max_new_tokens = valid.max_new_tokens;
  request.spec = valid.spec;
  valid.shape.Apply(request);
  request.deadline = deadline_;
  request.priority = valid.scheduling.priority;
  request.tenant = caller_.tenant;
  request.tenant_weight = caller_.weight;
  request.cache_salt = CacheSaltOf(valid.scheduling, caller_.tenant);
  request.needs_whole_prompt = NeedsWholePrompt(valid.spec->output);
  request.sink = shared_from_this();
  const absl::Status status =
      SubmitError(parts_.engine->Submit(std::move(request)), caller_.tenant);
  const std::optional<Refusal> refusal = RefusalOf(status);
  if (!refusal.has_value()) return status;
  parts_.metrics->CountRefusal(RefusalName(*refusal));
  return WithRetryAfter(status, parts_.engine->RetryDelay(*refusal));
}

void Call::Refuse(absl::Status status) {
  std::lock_guard lock(mutex_);
  RefuseLocked(std::move(status));
}

void Call::RefuseLocked(absl::Status status) {
  Release();
  pending_.Refuse(std::move(status));
  Schedule();
}

void Call::Release() {
  ended_ = true;
  if (std::exchange(registered_, false)) parts_.calls->Remove(context_.request.request_id);
}

// The engine is called under the lock, so that the id cannot have become another request's.
void Call::ClientGone() {
  std::lock_guard lock(mutex_);
  gone_ = true;
  if (held_ && !ended_) parts_.engine->Cancel(context_.request.request_id);
}

bool Call::Cancel() {
  std::lock_guard lock(mutex_);
  if (ended_) return false;
  cancelled_ = true;
  return !held_ || parts_.engine->Cancel(context_.request.request_id);
}

void Call::OnStarted(const StartedEvent& event) {
  parts_.metrics->CountPromptTokens(event.prompt_tokens - event.cached_tokens, event.cached_tokens);
  std::lock_guard lock(mutex_);
  pending_.Add(event);
  if (streams_) Schedule();
}

void Call::ObserveTokens(const Outcome& outcome) {
  const absl::Time now = absl::Now();
  if (last_tokens_.empty()) parts_.metrics->ObserveFirstToken(now - received_);
  const auto choice = static_cast<size_t>(outcome.choice_index);
  if (last_tokens_.size() <= choice) last_tokens_.resize(choice + 1, absl::InfinitePast());
  if (last_tokens_[choice] != absl::InfinitePast()) {
    parts_.metrics->ObserveNextToken(now - last_tokens_[choice]);
  }
  last_tokens_[choice] = now;
  parts_.metrics->CountGeneratedTokens(static_cast<int64_t>(outcome.tokens.size()));
}

void Call::OnOutcome(Outcome outcome) {
  if (!outcome.tokens.empty()) ObserveTokens(outcome);
  std::lock_guard lock(mutex_);
  pending_.Add(std::move(outcome));
  if (streams_) Schedule();
}

void Call::OnFinished(const FinishedEvent& event) {
  const absl::Time now = absl::Now();
  FinishedEvent told = event;
  std::lock_guard lock(mutex_);
  if (gone_ && event.finish.reason == FinishReason::kCancelled &&
      now + kDeadlineSlack >= deadline_) {
    told.finish.reason = FinishReason::kDeadline;
    told.status = absl::DeadlineExceededError("the call's deadline passed");
  }
  parts_.metrics->ObserveFinished(told, now - received_);
  parts_.metrics->CountWaits(told.timings.waits);
  pending_.Add(told);
  Release();
  Schedule();
}

void Call::Schedule() {
  if (scheduled_ || sending_ || pending_.empty()) return;
  scheduled_ = true;
  parts_.delivery->Schedule(shared_from_this());
}

void Call::Deliver() {
  EventBatch batch;
  {
    std::lock_guard lock(mutex_);
    scheduled_ = false;
    batch = pending_.Take();
    sending_ = true;
  }
  std::optional<absl::Status> end;
  if (batch.ends()) {
    end = EndStatus(batch);
    parts_.metrics->CountRequest(method_, StatusLabel(*end));
    Log(batch, *end);
  }
  Send(std::move(batch), std::move(end));
}

void Call::BatchSent() {
  std::lock_guard lock(mutex_);
  sending_ = false;
  Schedule();
}

absl::Status Call::EndStatus(const EventBatch& batch) const {
  if (!batch.finished) return batch.refused.value_or(absl::OkStatus());
  const auto& spec = context_.request.spec;
  return EndError(*batch.finished, spec != nullptr && spec->grammar != nullptr);
}

void Call::Log(const EventBatch& batch, const absl::Status& status) const {
  const absl::string_view outcome = StatusLabel(status);
  const double total_ms = absl::ToDoubleMilliseconds(absl::Now() - received_);
  // A client's own words must not make lines of their own.
  const std::string id = absl::Utf8SafeCHexEscape(context_.request.request_id);
  const fmt::string_view method(method_.data(), method_.size());
  const fmt::string_view label(outcome.data(), outcome.size());
  if (status.code() == absl::StatusCode::kInternal) {
    spdlog::error("request {} failed: {}", id, status.ToString());
  }
  if (!batch.finished) {
    spdlog::info("request id={} method={} outcome={} total_ms={:.1f}", id, method, label, total_ms);
    return;
  }
  const FinishedEvent& end = *batch.finished;
  spdlog::info(
      "request id={} method={} outcome={} reason={} prompt_tokens={} cached_tokens={} "
      "generated_tokens={} queued_ms={:.1f} slots_ms={:.1f} blocks_ms={:.1f} budget_ms={:.1f} "
      "fairness_ms={:.1f} prefill_ms={:.1f} decode_ms={:.1f} total_ms={:.1f}",
      id, method, label, v1::FinishReason_Name(FinishReasonOf(end.finish.reason)),
      end.usage.prompt_tokens, end.usage.cached_tokens, end.usage.generated_tokens,
      absl::ToDoubleMilliseconds(end.timings.queued),
      absl::ToDoubleMilliseconds(end.timings.waits.slots),
      absl::ToDoubleMilliseconds(end.timings.waits.blocks),
      absl::ToDoubleMilliseconds(end.timings.waits.budget),
      absl::ToDoubleMilliseconds(end.timings.waits.fairness),
      absl::ToDoubleMilliseconds(end.timings.prefill),
      absl::ToDoubleMilliseconds(end.timings.decode), total_ms);
}

}  // namespace hocket
