// One request of one tenant, from its first call until nobody can ask for it any more. It is the
// engine's sink and keeps what the engine says in a log, which any number of calls read. When the
// last of them goes, the engine stops within a step; a request that its client has named is then
// suspended, and goes on with the next call of the same id, the answer's bits unchanged. Held by
// the registry, by the calls and by the engine. Any thread; nothing here blocks.
#ifndef HOCKET_SERVICE_SESSION_H_
#define HOCKET_SERVICE_SESSION_H_

#include <cstdint>
#include <functional>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "absl/time/time.h"
#include "hocket/v1/hocket.pb.h"
#include "scheduler/request.h"
#include "service/answer.h"
#include "service/call_parts.h"
#include "service/caller.h"
#include "service/delivery_thread.h"
#include "service/event_log.h"
#include "service/request_body.h"
#include "service/request_metrics.h"
#include "service/resume_point.h"

namespace hocket {

// Reads a session: a call.
class SessionReader {
 public:
  virtual ~SessionReader() = default;

  // There may be something to read. Any thread; must neither block nor call the session.
  virtual void Wake() = 0;
};

// Who reads, and how.
struct Attachment {
  std::shared_ptr<SessionReader> reader;
  bool streams = false;  // Else it reads once, when the request has ended.
  absl::Time deadline = absl::InfiniteFuture();
  ResumePoint resume;  // What it has already.
};

// Each tenant has its own ids.
struct SessionKey {
  std::string tenant;
  std::string request_id;
  bool operator==(const SessionKey&) const = default;
};

class Session : public Sink, public Deliverable, public std::enable_shared_from_this<Session> {
 public:
  using Validate = std::function<absl::StatusOr<ValidRequest>()>;

  struct Origin {
    SessionKey key;
    bool named = false;        // By the client, who may come back for it.
    absl::string_view method;  // A literal.
    Caller caller;
    RequestBody body;
    std::string traceparent;  // As the first call's metadata gave it.
  };

  static constexpr size_t kMaxAttached = 16;

  // With its first reader.
  Session(const CallParts& parts, Origin origin, Attachment first);

  // Validates on a text thread and submits. Once, after the session is in the registry.
  void Prepare(Validate validate);

  enum class Attached {
    kYes,
    kReleased,      // The id is free: look for it again.
    kNeedsTextEnd,  // Call FindTextEnds, on a text thread, and try again.
  };
  // One more reader, of the same request. ALREADY_EXISTS when `body` is another, INVALID_ARGUMENT
  // naming the field when it cannot have what it says it has, RESOURCE_EXHAUSTED when many read.
  absl::StatusOr<Attached> Attach(const RequestBody& body, Attachment attachment);
  void FindTextEnds();

  // What comes next for a reader; one batch that ends is its last.
  EventBatch Read(const SessionReader* reader);

  // The reader's client went away, or its deadline passed. It still reads an end.
  void Leave(const SessionReader* reader);

  // Ends the request for good, within a step. False when it has ended.
  bool Cancel();

  // The registry has let go of it.
  void Released();

  // Of its parts, those that an answer needs. Not null once a reader has read something.
  std::shared_ptr<const AnswerContext> context() const;
  v1::HeldRequest Describe(absl::Time now) const;
  const SessionKey& key() const { return origin_.key; }
  const CallParts& parts() const { return parts_; }
  absl::Time received() const { return received_; }
  std::optional<absl::Time> first_token() const;  // When it came.

  void OnStarted(const StartedEvent& event) override;
  void OnOutcome(Outcome outcome) override;
  void OnFinished(const FinishedEvent& event) override;
  void Deliver() override;  // Submits again.

 private:
  enum class State {
    kValidating,  // Not with the engine yet.
    kResuming,    // To be submitted again.
    kRunning,     // With the engine.
    kSuspended,   // It was interrupted, and nobody reads.
    kEnded,
  };
  struct Entry {
    Attachment attachment;
    LogCursor cursor;
    bool gone = false;
    std::optional<FinishedEvent> end = {};     // Its own, while the request may go on.
    std::optional<absl::Status> refused = {};  // In place of all else.

    bool live() const { return !gone && !end && !refused; }
    bool late() const;  // Its deadline has passed, or is about to.
  };

  // All of these with mutex_ held.
  Entry* Find(const SessionReader* reader);
  bool AnyoneLive() const;
  bool MayBeTakenUp() const { return origin_.named && !outgrown_; }
  absl::Status Abandoned() const;  // Why it is no longer wanted, or OK.
  void Submit();
  absl::Status SubmitToEngine();
  void RefuseAll(const absl::Status& status);
  void EndGone(const FinishedEvent& event);  // The readers whose clients are gone.
  void Interrupted(FinishedEvent event);
  void Suspend();
  void End(const FinishedEvent& event);
  void Release();
  bool Retain();
  void Wake(Entry& entry);
  void WakeStreams();
  void Trim();
  FinishedEvent Accumulate(const FinishedEvent& event);
  FinishedEvent CutShort() const;
  static absl::Status DeadlinePassed();
  FinishedEvent EndOfGone(const Entry& entry, FinishedEvent event) const;
  void SlimContext();
  int64_t bytes() const;
  v1::RequestState DescribeState() const;

  void Validated(absl::StatusOr<ValidRequest> valid);  // Takes mutex_.

  const CallParts parts_;
  const Origin origin_;
  const ResumePoint begun_;  // What the first reader had.
  const std::string engine_id_;
  const absl::Time received_;

  mutable std::mutex
      mutex_;  // Taken before the engine's, the registry's and the delivery thread's.
  // Guarded by mutex_:
  State state_ = State::kValidating;
  std::vector<Entry> entries_;
  EventLog log_;
  std::shared_ptr<const AnswerContext> context_;
  std::optional<uint64_t> seed_;  // Effective.
  int64_t prompt_tokens_ = 0;
  std::optional<absl::Status> refused_;  // It was cancelled before it had begun.
  bool cancelled_ = false;
  bool outgrown_ = false;  // Too large to be kept for those who come back.
  bool released_ = false;
  absl::Status fault_;  // A further run gave another answer.
  int32_t runs_ = 0;    // Submitted to the engine so far.
  bool run_started_ = false;
  bool run_resumes_ = false;  // The run goes on from the log's tokens, else it repeats them.
  absl::Time run_deadline_ = absl::InfiniteFuture();
  Usage usage_;  // Of the runs that have ended.
  RequestTimings timings_;
  std::optional<absl::Time> first_token_;
  // Of the run at hand; what it says while that lasts is the engine thread's.
  std::unique_ptr<RequestMetrics> run_metrics_;
};

// The engine's ids, which no two tenants share.
std::string EngineIdOf(const SessionKey& key);

}  // namespace hocket

#endif  // HOCKET_SERVICE_SESSION_H_
