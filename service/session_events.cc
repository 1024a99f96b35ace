// A session's other half: what the engine says of it, and how it ends.
#include <algorithm>
#include <utility>

#include "absl/time/clock.h"
#include "service/engine_errors.h"
#include "service/scheduling_settings.h"
#include "service/session.h"
#include "service/session_registry.h"

namespace hocket {

void Session::OnStarted(const StartedEvent& event) {
  run_metrics_->Started(event);
  std::lock_guard lock(mutex_);
  run_started_ = true;
  log_.Add(event);
  WakeStreams();
}

void Session::OnOutcome(Outcome outcome) {
  const absl::Time now = absl::Now();
  run_metrics_->Drawn(outcome, now);
  std::lock_guard lock(mutex_);
  if (!outcome.tokens.empty() && !first_token_) first_token_ = now;
  const bool tells = !log_.holds_choices() || !outcome.prompt_scores.empty();
  if (absl::Status status = log_.Add(std::move(outcome)); !status.ok() && fault_.ok()) {
    fault_ = std::move(status);
    parts_.delivery->Schedule(shared_from_this());  // The engine is not to be called from here.
  }
  if (origin_.named && log_.bytes() > parts_.sessions->max_session_bytes()) outgrown_ = true;
  if (tells) WakeStreams();
}

void Session::OnFinished(const FinishedEvent& event) {
  std::lock_guard lock(mutex_);
  FinishedEvent told = event;
  if (!fault_.ok()) {
    told.finish.reason = FinishReason::kError;
    told.status = fault_;
  } else if (told.finish.reason == FinishReason::kCancelled && !cancelled_ && !entries_.empty() &&
             !AnyoneLive()) {
    told = EndOfGone(entries_.back(), std::move(told));
  }
  run_metrics_->Finished(told, absl::Now());
  run_metrics_.reset();
  told = Accumulate(told);
  const FinishReason reason = told.finish.reason;
  const bool interrupted = reason == FinishReason::kCancelled || reason == FinishReason::kDeadline;
  if (interrupted && !cancelled_) return Interrupted(std::move(told));
  End(told);
}

// The readers went, or their deadlines passed: the request itself may go on.
void Session::Interrupted(FinishedEvent event) {
  const bool by_deadline = event.finish.reason == FinishReason::kDeadline;
  for (Entry& entry : entries_) {
    const bool late = by_deadline && entry.attachment.deadline <= run_deadline_;
    if (entry.live() && late) entry.end = event;
  }
  const bool goes_on = MayBeTakenUp() && (AnyoneLive() || parts_.sessions->retains());
  if (!goes_on) {
    for (Entry& entry : entries_) entry.end.reset();
    return End(event);
  }
  EndGone(event);
  for (Entry& entry : entries_) {
    if (entry.end) Wake(entry);
  }
  if (!AnyoneLive()) return Suspend();
  state_ = State::kResuming;
  parts_.delivery->Schedule(shared_from_this());
}

// What ends an entry whose client is gone, whatever else has ended: its deadline, where that is
// why.
FinishedEvent Session::EndOfGone(const Entry& entry, FinishedEvent event) const {
  if (entry.gone && EndError(event, /*constrained=*/false).ok()) {
    event.finish.reason = FinishReason::kCancelled;
  }
  if (!entry.gone || !entry.late() || event.finish.reason != FinishReason::kCancelled) return event;
  event.finish.reason = FinishReason::kDeadline;
  event.status = DeadlinePassed();
  return event;
}

void Session::EndGone(const FinishedEvent& event) {
  for (Entry& entry : entries_) {
    if (!entry.gone || entry.end || entry.refused) continue;
    entry.end = EndOfGone(entry, event);
    Wake(entry);
  }
}

void Session::Suspend() {
  state_ = State::kSuspended;
  if (!Retain()) End(CutShort());
}

// What it comes to so far, for those who do not read on.
FinishedEvent Session::CutShort() const {
  FinishedEvent event;
  event.finish.reason = FinishReason::kCancelled;
  event.usage = {.prompt_tokens = prompt_tokens_,
                 .cached_tokens = log_.started() ? log_.started()->cached_tokens : 0,
                 .generated_tokens = log_.GeneratedTokens()};
  event.timings = timings_;
  return event;
}

void Session::End(const FinishedEvent& event) {
  log_.Add(event);
  state_ = State::kEnded;
  for (Entry& entry : entries_) Wake(entry);
  const FinishReason reason = event.finish.reason;
  const bool kept = MayBeTakenUp() && reason != FinishReason::kShutdown &&
                    reason != FinishReason::kError && reason != FinishReason::kDeadline;
  if (kept) SlimContext();
  if (!kept || !Retain()) Release();
}

// What the engine needs and an answer does not.
void Session::SlimContext() {
  for (size_t i = 0; i < log_.choices(); ++i) {
    if (!log_.KnowsTextEnds(static_cast<int32_t>(i))) return;  // FindTextEnds needs all of it.
  }
  auto slim = std::make_shared<AnswerContext>(*context_);
  ValidRequest& request = slim->request;
  if (!parts_.log_prompts) {
    request.prompt =
        std::make_shared<const std::vector<TokenId>>(1, context_->request.prompt->front());
  }
  request.resumed = nullptr;
  auto spec = std::make_shared<GenerationSpec>();
  spec->output = request.spec->output;
  request.spec = std::move(spec);
  context_ = std::move(slim);
}

FinishedEvent Session::Accumulate(const FinishedEvent& event) {
  FinishedEvent all = event;
  all.usage.prompt_tokens = std::max(all.usage.prompt_tokens, usage_.prompt_tokens);
  // What the first run found; a later one finds what that has left.
  if (usage_.prompt_tokens > 0) all.usage.cached_tokens = usage_.cached_tokens;
  all.usage.generated_tokens =
      run_resumes_ ? event.usage.generated_tokens + usage_.generated_tokens
                   : std::max(event.usage.generated_tokens, usage_.generated_tokens);
  all.timings.queued += timings_.queued;
  all.timings.prefill += timings_.prefill;
  all.timings.decode += timings_.decode;
  usage_ = all.usage;
  timings_ = all.timings;
  return all;
}

void Session::Release() {
  released_ = true;
  parts_.sessions->Remove(*this);
}

bool Session::Retain() {
  return MayBeTakenUp() && parts_.sessions->Retain(shared_from_this(), bytes());
}

int64_t Session::bytes() const {
  constexpr int64_t kGrammarBytes = 1 << 20;
  int64_t bytes = static_cast<int64_t>(sizeof(Session) + origin_.key.tenant.size() * 3 +
                                       origin_.key.request_id.size() * 3) +
                  log_.bytes();
  bytes += static_cast<int64_t>((begun_.generated.size()) * sizeof(TokenId));
  if (context_ == nullptr) return bytes;
  const ValidRequest& request = context_->request;
  bytes += static_cast<int64_t>(sizeof(AnswerContext) + sizeof(GenerationSpec) +
                                request.prompt->size() * sizeof(TokenId)) +
           static_cast<int64_t>(request.effective.SpaceUsedLong());
  if (request.resumed != nullptr) {
    bytes += static_cast<int64_t>(request.resumed->size() * sizeof(TokenId));
  }
  // Nobody knows what a compiled grammar takes.
  if (request.spec->grammar != nullptr) bytes += kGrammarBytes;
  return bytes;
}

Session::Entry* Session::Find(const SessionReader* reader) {
  const auto found = std::ranges::find_if(
      entries_, [reader](const Entry& entry) { return entry.attachment.reader.get() == reader; });
  return found == entries_.end() ? nullptr : &*found;
}

bool Session::AnyoneLive() const { return std::ranges::any_of(entries_, &Entry::live); }

void Session::Wake(Entry& entry) { entry.attachment.reader->Wake(); }

void Session::WakeStreams() {
  for (Entry& entry : entries_) {
    if (entry.attachment.streams) Wake(entry);
  }
}

std::shared_ptr<const AnswerContext> Session::context() const {
  std::lock_guard lock(mutex_);
  return context_;
}

std::optional<absl::Time> Session::first_token() const {
  std::lock_guard lock(mutex_);
  return first_token_;
}

v1::HeldRequest Session::Describe(absl::Time now) const {
  v1::HeldRequest held;
  held.set_request_id(origin_.key.request_id);
  held.set_tenant(origin_.key.tenant);
  held.set_method(std::string(origin_.method));
  held.set_model(parts_.validator->model_name());
  held.set_traceparent(origin_.traceparent);
  SetDuration(now - received_, held.mutable_age());
  std::lock_guard lock(mutex_);
  held.set_state(DescribeState());
  held.set_generated_tokens(log_.GeneratedTokens());
  held.set_attached_calls(static_cast<int32_t>(std::ranges::count_if(entries_, &Entry::live)));
  held.set_pending_bytes(bytes());
  if (context_ != nullptr) {
    held.set_priority(PriorityOf(context_->request.scheduling.priority));
  }
  held.set_prompt_tokens(prompt_tokens_);
  return held;
}

v1::RequestState Session::DescribeState() const {
  switch (state_) {
    case State::kValidating:
    case State::kResuming:
      return v1::REQUEST_STATE_WAITING;
    case State::kRunning:
      return run_started_ ? v1::REQUEST_STATE_RUNNING : v1::REQUEST_STATE_WAITING;
    case State::kSuspended:
      return v1::REQUEST_STATE_SUSPENDED;
    case State::kEnded:
      return v1::REQUEST_STATE_FINISHED;
  }
  return v1::REQUEST_STATE_UNSPECIFIED;
}

}  // namespace hocket
