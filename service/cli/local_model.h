// A model loaded into this process with an engine of its own: what the commands that need no server
// run on. Used by one thread, the main one.
#ifndef HOCKET_SERVICE_CLI_LOCAL_MODEL_H_
#define HOCKET_SERVICE_CLI_LOCAL_MODEL_H_

#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "runtime/model_runtime.h"
#include "scheduler/engine.h"
#include "service/choice_settings.h"
#include "service/model_text.h"

namespace hocket {

// All that one request gave, or one of its choices.
struct CompletionResult {
  std::vector<TokenId> tokens;
  std::vector<TokenScore> scores;         // One per token where the spec asked.
  std::vector<TokenScore> prompt_scores;  // One per prompt token but the first where asked.
  std::vector<Explanation> explanations;  // One per token where the spec asked.
  std::string text;
  FinishedEvent finished;      // Of the request, with the choice's own finish.
  absl::Duration first_token;  // From Start; zero when there was none.
  absl::Duration total;        // From Start to the end.
};

// One running request. Destroying it cancels the request.
class Completion {
 public:
  ~Completion();
  Completion(const Completion&) = delete;
  Completion& operator=(const Completion&) = delete;

  // Waits for the end, giving each outcome to `on_outcome` (may be empty) as it comes. An error
  // from there cancels the request and is returned. Where `stops_on_interrupt`,
  // Interrupts::Raised() cancels it: the result then tells so. kError's status is returned as this
  // call's. Call once.
  absl::StatusOr<CompletionResult> Collect(
      const std::function<absl::Status(const Outcome&)>& on_outcome, bool stops_on_interrupt);

  // The same for a request of several choices: each of them, in order. Call this or Collect.
  absl::StatusOr<std::vector<CompletionResult>> CollectChoices(
      const std::function<absl::Status(const Outcome&)>& on_outcome, bool stops_on_interrupt);

  class EventQueue;

 private:
  friend class LocalModel;
  Completion(Engine* engine, std::string id, const RequestShape& shape,
             std::shared_ptr<EventQueue> events);

  Engine* engine_;
  std::string id_;
  RequestShape shape_;
  absl::Time start_;
  std::shared_ptr<EventQueue> events_;
};

class LocalModel {
 public:
  // Loads with progress on stderr; errors as LoadRuntime's.
  static absl::StatusOr<std::unique_ptr<LocalModel>> Load(const RuntimeSettings& settings);

  // Of parts that live elsewhere and longer. `settings` must be valid.
  LocalModel(const SchedulerSettings& settings, const ServedModel& model);

  const ModelInfo& info() const { return model_.info; }
  const ModelText& text() const { return *model_.text; }

  // Submits a request. The completion must not outlive this.
  absl::StatusOr<std::unique_ptr<Completion>> Start(std::vector<TokenId> prompt,
                                                    const GenerationSpec& spec,
                                                    int32_t max_new_tokens,
                                                    const RequestShape& shape = {});

 private:
  LocalModel(const SchedulerSettings& settings, std::unique_ptr<ModelRuntime> runtime);

  std::unique_ptr<ModelRuntime> runtime_;  // Null when the parts live elsewhere; so is `text_`.
  std::unique_ptr<ModelText> text_;
  ServedModel model_;
  Engine engine_;
  int64_t requests_ = 0;  // Names them.
};

}  // namespace hocket

#endif  // HOCKET_SERVICE_CLI_LOCAL_MODEL_H_
