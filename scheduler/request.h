// What the service hands to the engine, and how the engine answers. A Request has been validated:
// nothing behind the queue checks its contents again. The engine owns it once submitted.
#ifndef HOCKET_SCHEDULER_REQUEST_H_
#define HOCKET_SCHEDULER_REQUEST_H_

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/time/time.h"
#include "scheduler/step.h"

namespace hocket {

// Counts of tokens over all of a request's sequences.
struct Usage {
  int64_t prompt_tokens = 0;
  int64_t cached_tokens = 0;  // Of the prompt's, those found in the KV cache.
  int64_t generated_tokens = 0;
};

// Who goes before whom. A class is served before the next one wherever both wait.
enum class PriorityClass { kInteractive, kStandard, kBatch };
inline constexpr int kPriorityClasses = 3;

// Why a request waited for its first plan. What is left of its time in the queue is the step that
// was under way when it came.
struct WaitTimes {
  absl::Duration slots;     // As many sequences ran as may.
  absl::Duration blocks;    // Too few KV blocks were free.
  absl::Duration budget;    // The steps' tokens and time were taken by others' prompts.
  absl::Duration fairness;  // Another tenant's or a higher class's request was first.
};

struct RequestTimings {
  absl::Duration queued;   // Submit to the first plan that has a row of the request.
  absl::Duration prefill;  // From there to the end of the prompt's last chunk.
  absl::Duration decode;   // From there to the end.
  WaitTimes waits;         // Parts of `queued`.
};

struct StartedEvent {
  absl::Duration queued;
  int64_t prompt_tokens = 0;
  int64_t cached_tokens = 0;
};

struct FinishedEvent {
  absl::Status status;  // OK unless the reason is kCancelled, kDeadline,
                        // kShutdown or kError.
  Finish finish;
  Usage usage;
  RequestTimings timings;
  // With kShutdown, of a request of one choice: every token generated so far, the resumed ones
  // included, to go on from.
  std::vector<TokenId> generated;
};

// Receives one request's events, on the engine thread, in order: OnStarted at most once, then
// OnOutcome any number of times, and OnFinished exactly once, last. A choice of several has its
// finish in its last outcome, and the request's is that of its first choice, unless something ended
// them all. Calls must not block and must not call into the engine.
class Sink {
 public:
  virtual ~Sink() = default;
  virtual void OnStarted(const StartedEvent& event) = 0;
  virtual void OnOutcome(Outcome outcome) = 0;
  virtual void OnFinished(const FinishedEvent& event) = 0;
};

struct Request {
  std::string id;                                       // Unique among those that the engine holds.
  std::shared_ptr<const std::vector<TokenId>> prompt;   // At least one token.
  std::shared_ptr<const std::vector<TokenId>> resumed;  // As of SequenceStart; null: none.
  // The resumed ones included. 0: the prompt is computed and nothing drawn (score, embed).
  int32_t max_new_tokens = 0;
  std::shared_ptr<const GenerationSpec> spec;
  // Sequences that share the prompt: choices, or a beam's width. The prompt is computed once.
  int32_t choices = 1;
  bool beam = false;  // They step together, and take over each other's tokens (BeamMove).
  // Set: a full context does not end a sequence. It keeps so many first tokens, forgets half of the
  // rest, the oldest, and goes on.
  std::optional<int32_t> roll_kept_tokens = {};
  int32_t max_draft_tokens = 0;  // Guessed from the sequence's own tokens in a step; 0: none.
  absl::Time deadline = absl::InfiniteFuture();
  PriorityClass priority = PriorityClass::kStandard;
  std::string tenant;        // Tenants of one class are served by turns.
  double tenant_weight = 1;  // Its share, above 0.
  std::string cache_salt;    // Cached blocks are shared with requests of equal salt only.
  // Something is wanted of every prompt position (scores, a mean), so each is computed.
  bool needs_whole_prompt = false;
  std::shared_ptr<Sink> sink;
};

}  // namespace hocket

#endif  // HOCKET_SCHEDULER_REQUEST_H_
