#include "service/session.h"

#include <algorithm>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "scheduler/admission_gate.h"
#include "service/engine_errors.h"
#include "service/error_reasons.h"
#include "service/scheduling_settings.h"
#include "service/session_registry.h"
#include "service/status.h"

namespace hocket {
namespace {

// Whether something is wanted of every prompt position, so that none may come from the cache.
bool NeedsWholePrompt(const OutputSettings& output) {
  return output.prompt_logprobs || output.embedding == EmbeddingPooling::kMean;
}

// gRPC ends a call whose deadline passes by cancelling it, by a timer of its own that may be early.
constexpr absl::Duration kDeadlineSlack = absl::Milliseconds(50);

absl::Status InUse(const std::string& request_id, absl::string_view why) {
  return ReasonError(ErrorReason::kRequestIdInUse, absl::StrCat("request_id: a request with id \"",
                                                                request_id, "\" is held", why));
}

LogCursor FirstCursor(const ResumePoint& begun) {
  LogCursor cursor;
  cursor.tells_prompt = !begun.HasTokens();
  const size_t places = std::max<size_t>(begun.offsets.size(), 1);
  for (size_t i = 0; i < places; ++i) {
    cursor.choices.push_back({.tokens = begun.Tokens(static_cast<int32_t>(i))});
  }
  return cursor;
}

}  // namespace

bool Session::Entry::late() const { return absl::Now() + kDeadlineSlack >= attachment.deadline; }

absl::Status Session::DeadlinePassed() {
  return ReasonError(ErrorReason::kDeadlinePassed, "the call's deadline passed");
}

std::string EngineIdOf(const SessionKey& key) {
  return absl::StrCat(key.tenant.size(), "/", key.tenant, "/", key.request_id);
}

Session::Session(const CallParts& parts, Origin origin, Attachment first)
    : parts_(parts),
      origin_(std::move(origin)),
      begun_(first.resume),
      engine_id_(EngineIdOf(origin_.key)),
      received_(absl::Now()),
      log_(static_cast<int64_t>(begun_.generated.size())) {
  entries_.push_back({.attachment = std::move(first), .cursor = FirstCursor(begun_)});
}

void Session::Prepare(Validate validate) {
  const bool taken =
      parts_.text_pool->TrySchedule([self = shared_from_this(), validate = std::move(validate)] {
        absl::Status status;
        {
          std::lock_guard lock(self->mutex_);
          status = self->Abandoned();
        }
        self->Validated(status.ok() ? validate() : status);
      });
  if (taken) return;
  std::lock_guard lock(mutex_);
  RefuseAll(TextPool::Full());
}

void Session::Validated(absl::StatusOr<ValidRequest> valid) {
  std::lock_guard lock(mutex_);
  absl::Status status = valid.status();
  if (status.ok()) {
    auto context = std::make_shared<AnswerContext>();
    context->model_name = parts_.validator->model_name();
    context->text = parts_.text;
    context->request = *std::move(valid);
    context->request.request_id = origin_.key.request_id;
    seed_ = context->request.spec->sampling.seed;
    prompt_tokens_ = static_cast<int64_t>(context->request.prompt->size());
    log_.Expect(context->request.shape);
    context_ = std::move(context);
    status = Abandoned();
  }
  if (status.ok()) return Submit();
  RefuseAll(status);
}

absl::Status Session::Abandoned() const {
  if (cancelled_) return ReasonError(ErrorReason::kCancelled, "the request was cancelled");
  if (AnyoneLive()) return absl::OkStatus();
  const bool late = std::ranges::all_of(entries_, &Entry::late);
  return late ? DeadlinePassed() : ReasonError(ErrorReason::kCancelled, "the client went away");
}

void Session::Submit() {
  const absl::Status status = SubmitToEngine();
  if (status.ok()) {
    state_ = State::kRunning;
    // Those who went while the request was on its way; somebody is still there.
    return EndGone(CutShort());
  }
  if (runs_ == 0) return RefuseAll(status);
  for (Entry& entry : entries_) {
    if (!entry.live()) continue;
    entry.refused = status;
    Wake(entry);
  }
  Suspend();
}

absl::Status Session::SubmitToEngine() {
  const ValidRequest& valid = context_->request;
  Request request;
  request.id = engine_id_;
  request.prompt = valid.prompt;
  request.resumed = valid.resumed;
  request.max_new_tokens = valid.max_new_tokens;
  request.spec = valid.spec;
  valid.shape.Apply(request);
  run_resumes_ = valid.shape.sequences == 1 && !valid.shape.beam;
  if (runs_ > 0) {
    log_.BeginRun(run_resumes_);
    if (run_resumes_) {
      auto tokens = std::make_shared<std::vector<TokenId>>(begun_.generated);
      const std::vector<TokenId> since = log_.TokensOf(0);
      tokens->insert(tokens->end(), since.begin(), since.end());
      if (!tokens->empty()) request.resumed = std::move(tokens);
    }
  }
  // A guess that comes true gives several tokens with one text; what is drawn again has to be cut
  // where a client was.
  const bool repeats = (runs_ > 0 && !run_resumes_) || !begun_.offsets.empty();
  if (repeats) request.max_draft_tokens = 0;
  run_deadline_ = absl::InfinitePast();
  for (const Entry& entry : entries_) {
    if (entry.live()) run_deadline_ = std::max(run_deadline_, entry.attachment.deadline);
  }
  request.deadline = run_deadline_;
  request.priority = valid.scheduling.priority;
  request.tenant = origin_.caller.tenant;
  request.tenant_weight = origin_.caller.weight;
  request.cache_salt = CacheSaltOf(valid.scheduling, origin_.caller.tenant);
  request.needs_whole_prompt = NeedsWholePrompt(valid.spec->output);
  request.sink = shared_from_this();
  run_metrics_ =
      std::make_unique<RequestMetrics>(parts_.metrics, runs_ == 0 ? received_ : absl::Now());
  run_metrics_->Submitting(request);
  const absl::Status status = SubmitError(
      parts_.engine->Submit(std::move(request), origin_.caller.limits), origin_.caller.tenant);
  if (status.ok()) {
    ++runs_;
    run_started_ = false;
    return status;
  }
  run_metrics_->NotTaken();
  const std::optional<Refusal> refusal = RefusalOf(status);
  if (!refusal.has_value()) return status;
  parts_.metrics->CountRefusal(RefusalName(*refusal));
  return WithRetryAfter(status, parts_.engine->RetryDelay(*refusal));
}

void Session::RefuseAll(const absl::Status& status) {
  refused_ = status;
  state_ = State::kEnded;
  for (Entry& entry : entries_) Wake(entry);
  // What was cancelled stays so for those who come back; all else may be tried again.
  if (!cancelled_ || !Retain()) Release();
}

void Session::Deliver() {
  std::lock_guard lock(mutex_);
  if (state_ == State::kRunning && !fault_.ok()) parts_.engine->Cancel(engine_id_);
  if (state_ != State::kResuming) return;
  if (cancelled_) return End(CutShort());
  if (!AnyoneLive()) {
    EndGone(CutShort());
    return Suspend();
  }
  Submit();
}

absl::StatusOr<Session::Attached> Session::Attach(const RequestBody& body, Attachment attachment) {
  std::lock_guard lock(mutex_);
  if (released_) return Attached::kReleased;
  if (!origin_.named || !origin_.body.IsSentAgainBy(body, seed_)) {
    return InUse(origin_.key.request_id, ", and is another");
  }
  if (outgrown_) return InUse(origin_.key.request_id, ", and too large to be read again");
  if (entries_.size() >= kMaxAttached) {
    return ReasonError(ErrorReason::kTooManyReaders,
                       absl::StrCat("request_id: ", entries_.size(),
                                    " calls read this request already, which is the limit"));
  }
  const int32_t choices = context_ == nullptr ? kMaxChoices : context_->request.shape.choices;
  absl::StatusOr<LogCursor> cursor = LogCursor();
  if (!refused_) cursor = CursorAt(attachment.resume, begun_, log_, choices);
  if (!cursor.ok()) return cursor.status();
  for (size_t i = 0; i < cursor->choices.size(); ++i) {
    if (log_.KnowsTextEnd(static_cast<int32_t>(i), cursor->choices[i].tokens)) continue;
    return Attached::kNeedsTextEnd;
  }
  if (state_ == State::kSuspended) {
    if (!parts_.sessions->Unretain(*this)) return Attached::kReleased;
    state_ = State::kResuming;
    parts_.delivery->Schedule(shared_from_this());
  }
  parts_.metrics->CountAttach(state_ != State::kEnded);
  entries_.push_back({.attachment = std::move(attachment), .cursor = *std::move(cursor)});
  Wake(entries_.back());
  return Attached::kYes;
}

void Session::FindTextEnds() {
  std::shared_ptr<const AnswerContext> context;
  std::vector<std::vector<TokenId>> unknown;  // By choice; empty where all is known.
  {
    std::lock_guard lock(mutex_);
    context = context_;
    for (size_t i = 0; i < log_.choices(); ++i) {
      const auto choice = static_cast<int32_t>(i);
      std::vector<TokenId>& tokens = unknown.emplace_back();
      if (log_.KnowsTextEnds(choice)) continue;
      if (choice == 0) tokens = begun_.generated;
      const std::vector<TokenId> since = log_.TokensOf(choice);
      tokens.insert(tokens.end(), since.begin(), since.end());
    }
  }
  for (size_t i = 0; i < unknown.size(); ++i) {
    if (unknown[i].empty()) continue;
    const ValidRequest& request = context->request;
    absl::StatusOr<std::vector<size_t>> ends =
        parts_.text->TextEnds(request.prompt, request.spec, unknown[i]);
    if (!ends.ok()) continue;
    const size_t begun = i == 0 ? begun_.generated.size() : 0;
    const size_t before = begun == 0 || ends->size() < begun ? 0 : (*ends)[begun - 1];
    ends->erase(ends->begin(), ends->begin() + static_cast<std::ptrdiff_t>(begun));
    for (size_t& end : *ends) end -= before;
    std::lock_guard lock(mutex_);
    log_.SetTextEnds(static_cast<int32_t>(i), *ends);
  }
}

EventBatch Session::Read(const SessionReader* reader) {
  std::lock_guard lock(mutex_);
  Entry* entry = Find(reader);
  EventBatch batch;
  if (entry == nullptr) return batch;
  const FinishedEvent* end = entry->end ? &*entry->end : nullptr;
  if (entry->refused || refused_) {
    batch.refused = entry->refused ? entry->refused : refused_;
  } else if (entry->gone && (end != nullptr || log_.ended())) {
    batch.finished = end != nullptr ? *end : EndOfGone(*entry, *log_.finished());
  } else if (entry->attachment.streams || end != nullptr || log_.ended()) {
    batch =
        log_.Read(entry->cursor, entry->attachment.streams ? kMessageLimits : ReadLimits(), end);
    if (!batch.ends()) Trim();
  }
  if (batch.ends()) entries_.erase(entries_.begin() + (entry - entries_.data()));
  return batch;
}

// Where nobody can come back, what has been read is not kept.
void Session::Trim() {
  if (MayBeTakenUp() || entries_.size() != 1) return;
  log_.DropBefore(entries_.front().cursor);
}

void Session::Leave(const SessionReader* reader) {
  std::lock_guard lock(mutex_);
  Entry* entry = Find(reader);
  if (entry == nullptr || entry->gone) return;
  entry->gone = true;
  switch (state_) {
    case State::kValidating:
      return;  // The validation may be looking at this call's own message.
    case State::kEnded:
      return Wake(*entry);
    case State::kRunning:
      // The engine is called under the lock, so that the run cannot have become another.
      if (!AnyoneLive()) {
        parts_.engine->Cancel(engine_id_);
        return;
      }
      break;
    case State::kResuming:
    case State::kSuspended:
      break;
  }
  EndGone(CutShort());
}

bool Session::Cancel() {
  std::lock_guard lock(mutex_);
  if (state_ == State::kEnded || released_) return false;
  cancelled_ = true;
  if (state_ == State::kRunning) return parts_.engine->Cancel(engine_id_);
  if (state_ == State::kSuspended) {
    parts_.sessions->Unretain(*this);
    End(CutShort());
  }
  return true;
}

void Session::Released() {
  std::lock_guard lock(mutex_);
  released_ = true;
}

}  // namespace hocket
