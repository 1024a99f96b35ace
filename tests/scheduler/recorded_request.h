// One way to build a request in tests, with a sink that keeps all it hears and checks the order of
// events. Thread-safe, so that engine tests can wait for the end.
#ifndef HOCKET_TESTS_SCHEDULER_RECORDED_REQUEST_H_
#define HOCKET_TESTS_SCHEDULER_RECORDED_REQUEST_H_

#include <condition_variable>
#include <cstdint>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <vector>

#include "absl/time/time.h"
#include "runtime/generation_spec.h"
#include "scheduler/request.h"

namespace hocket {

// What a request's client has heard of one choice so far.
struct HeardChoice {
  std::vector<TokenId> tokens;
  std::string text;
  std::optional<Finish> finish;
};

// What a request's client has heard so far.
struct Heard {
  std::optional<StartedEvent> started;
  std::vector<TokenId> tokens;  // Of all choices, as they came.
  std::string text;
  std::vector<HeardChoice> choices;
  std::vector<TokenScore> prompt_scores;
  std::vector<float> embedding;
  int32_t outcomes = 0;
  int32_t finished_events = 0;
  FinishedEvent finished;
  std::vector<std::string> violations;  // Of the order of events.

  bool ended() const { return finished_events > 0; }
  FinishReason reason() const { return finished.finish.reason; }
};

class RecordingSink final : public Sink {
 public:
  void OnStarted(const StartedEvent& event) override;
  void OnOutcome(Outcome outcome) override;
  void OnFinished(const FinishedEvent& event) override;

  Heard Get() const;
  bool Ended() const;
  Heard WaitForEnd() const;                      // Blocks until OnFinished.
  void WaitForTokens(size_t token_count) const;  // Or for the end, if that comes first.

 private:
  mutable std::mutex mutex_;
  mutable std::condition_variable changed_;
  Heard heard_;
};

struct RequestShape {
  std::string id = "r";
  std::vector<TokenId> prompt = {1, 2, 3};
  int32_t max_new_tokens = 4;
  uint64_t seed = 0;
  bool may_stop = false;  // Whether the model's stop tokens end the text.
  bool prompt_scores = false;
  bool embedding = false;  // Of the last prompt token.
  absl::Time deadline = absl::InfiniteFuture();
  std::string cache_salt = {};
  PriorityClass priority = PriorityClass::kStandard;
  std::string tenant = {};
  double tenant_weight = 1;
  std::vector<TokenId> resumed = {};
  int32_t choices = 1;
  int32_t told_beams = 0;  // Above 0: the choices are beams, and so many candidates are told.
  std::optional<int32_t> roll_kept_tokens = {};
  int32_t max_draft_tokens = 0;
  bool repeats_itself = false;  // The model mostly does, so that guesses come true.
};

std::vector<TokenId> PromptOf(int32_t token_count, TokenId first = 1);

// A request and what its client hears.
struct RecordedRequest {
  explicit RecordedRequest(const RequestShape& shape);

  Request Copy() const { return request; }

  Request request;
  std::shared_ptr<RecordingSink> sink;
};

}  // namespace hocket

#endif  // HOCKET_TESTS_SCHEDULER_RECORDED_REQUEST_H_
