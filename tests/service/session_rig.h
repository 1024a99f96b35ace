// The parts of a server behind a small model, without gRPC, and calls that tests read as clients
// do.
#ifndef HOCKET_TESTS_SERVICE_SESSION_RIG_H_
#define HOCKET_TESTS_SERVICE_SESSION_RIG_H_

#include <prometheus/registry.h>

#include <condition_variable>
#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <vector>

#include "hocket/v1/hocket.pb.h"
#include "service/call.h"
#include "service/session_registry.h"
#include "small_model.h"

namespace hocket {

// What a client has made of its batches.
struct ReadAnswer {
  std::optional<StartedEvent> started;
  std::map<int32_t, std::string> texts;                 // By choice.
  std::map<int32_t, std::vector<TokenId>> tokens;       // By choice.
  std::map<int32_t, int64_t> choice_tokens;             // By choice: the last part's end.
  std::map<int32_t, std::optional<FinishReason>> ends;  // By choice.
  size_t prompt_scores = 0;
  std::optional<FinishedEvent> finished;
  std::optional<absl::Status> status;  // The call's end.
  size_t batches = 0;
};

class TestCall final : public Call {
 public:
  TestCall(const CallParts& parts, CallOrigin origin) : Call(parts, std::move(origin)) {}

  // From now on takes so many batches, then no more.
  void Take(size_t batches);

  // Waits up to 20 s until `enough`, which sees what has been read, and returns that.
  ReadAnswer WaitUntil(const std::function<bool(const ReadAnswer&)>& enough);
  ReadAnswer WaitForEnd();
  ReadAnswer WaitForTokens(size_t tokens) { return WaitUntil(HasTokens(tokens)); }

  static std::function<bool(const ReadAnswer&)> HasTokens(size_t tokens);  // Of choice 0.

  bool aborted() const { return aborted_; }
  std::string request_id() const;
  uint64_t seed() const;  // As the answer's settings tell it.

 protected:
  void Send(EventBatch batch, std::optional<absl::Status> end) override;
  void Abort() override;

 private:
  void Add(EventBatch batch, std::optional<absl::Status> end);

  mutable std::mutex mutex_;
  std::condition_variable changed_;
  // Guarded by mutex_:
  ReadAnswer answer_;
  std::string request_id_;
  uint64_t seed_ = 0;
  size_t allowance_ = static_cast<size_t>(-1);
  bool waits_ = false;  // A batch has not been taken.
  std::atomic<bool> aborted_ = false;
};

// Start may be called by several threads.
class SessionRig {
 public:
  explicit SessionRig(const SessionSettings& settings = {}, int32_t max_queued_texts = 64);
  ~SessionRig();

  struct CallOptions {
    bool streams = true;
    std::string tenant = {};
    absl::Duration deadline = absl::InfiniteDuration();
    size_t takes = static_cast<size_t>(-1);
  };
  std::shared_ptr<TestCall> Start(const v1::GenerateRequest& request, const CallOptions& options);
  std::shared_ptr<TestCall> Start(const v1::GenerateRequest& request) {
    return Start(request, CallOptions());
  }

  // With a validation of the test's own.
  std::shared_ptr<TestCall> Start(const v1::GenerateRequest& request, const CallOptions& options,
                                  Session::Validate validate);

  // Has its client leave once it has `enough` (of choice 0, so many tokens); returns all that it
  // had, once the request is suspended. Steps take 2 ms until then, and no time afterwards.
  ReadAnswer StartAndLeave(const v1::GenerateRequest& request,
                           const std::function<bool(const ReadAnswer&)>& enough);
  ReadAnswer StartAndLeave(const v1::GenerateRequest& request, size_t tokens);

  std::optional<v1::HeldRequest> Held(const std::string& request_id);
  // Waits up to 20 s.
  bool WaitForState(const std::string& request_id, v1::RequestState state);
  bool WaitUntilGone(const std::string& request_id);
  bool WaitUntilIdle();  // The engine, which tells its readers before it counts anew.

  ByteText text;
  LetterExecutor executor;
  prometheus::Registry registry;
  Metrics metrics{&registry, SmallModelInfo()};
  Validator validator{"small", SmallModelInfo(), &text, 1 << 20};
  SessionRegistry sessions;
  DeliveryThread delivery;
  Engine engine;
  TextPool text_pool;
  CallParts parts;

 private:
  std::mutex mutex_;
  std::vector<std::shared_ptr<TestCall>> calls_;  // Guarded by mutex_.
};

// A request of this id for so many tokens after "hi", which the small model goes on from with
// LettersAfter(3, ...).
v1::GenerateRequest Named(const std::string& id, int32_t max_new_tokens);

}  // namespace hocket

#endif  // HOCKET_TESTS_SERVICE_SESSION_RIG_H_
