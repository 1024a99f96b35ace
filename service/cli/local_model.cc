#include "service/cli/local_model.h"

#include <deque>
#include <optional>
#include <utility>
#include <variant>

#include "absl/base/thread_annotations.h"
#include "absl/strings/str_cat.h"
#include "absl/synchronization/mutex.h"
#include "absl/time/clock.h"
#include "service/cli/interrupts.h"
#include "service/cli/load_runtime.h"
#include "service/engine_settings.h"
#include "service/event_log.h"

namespace hocket {
namespace {

constexpr absl::Duration kInterruptPoll = absl::Milliseconds(50);

// A batch's choices, each with the request's end and its own finish.
std::vector<CompletionResult> ResultsOf(EventBatch batch, int32_t choices) {
  std::vector<CompletionResult> results(choices);
  for (CompletionResult& result : results) result.finished = *batch.finished;
  for (ChoicePart& choice : batch.choices) {
    CompletionResult& result = results[choice.choice_index];
    result.tokens = std::move(choice.tokens);
    result.scores = std::move(choice.scores);
    result.explanations = std::move(choice.explanations);
    result.text = std::move(choice.text);
    if (choice.finish) result.finished.finish = *std::move(choice.finish);
  }
  results.front().prompt_scores = std::move(batch.prompt_scores);
  return results;
}

}  // namespace

using CompletionEvent = std::variant<Outcome, FinishedEvent>;

// Carries events from the engine thread to the one that collects. Its size is bounded by the
// request's own output.
class Completion::EventQueue final : public Sink {
 public:
  void OnStarted(const StartedEvent&) override {}
  void OnOutcome(Outcome outcome) override { Push(std::move(outcome)); }
  void OnFinished(const FinishedEvent& event) override { Push(event); }

  // The next event, or nothing within `timeout`.
  std::optional<CompletionEvent> Next(absl::Duration timeout) {
    absl::MutexLock lock(&mutex_);
    if (!mutex_.AwaitWithTimeout(absl::Condition(this, &EventQueue::HasEvent), timeout)) {
      return std::nullopt;
    }
    CompletionEvent event = std::move(events_.front());
    events_.pop_front();
    return event;
  }

 private:
  void Push(CompletionEvent event) {
    absl::MutexLock lock(&mutex_);
    events_.push_back(std::move(event));
  }
  bool HasEvent() const ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_) { return !events_.empty(); }

  absl::Mutex mutex_;
  std::deque<CompletionEvent> events_ ABSL_GUARDED_BY(mutex_);
};

Completion::Completion(Engine* engine, std::string id, const RequestShape& shape,
                       std::shared_ptr<EventQueue> events)
    : engine_(engine),
      id_(std::move(id)),
      shape_(shape),
      start_(absl::Now()),
      events_(std::move(events)) {}

Completion::~Completion() { engine_->Cancel(id_); }

absl::StatusOr<CompletionResult> Completion::Collect(
    const std::function<absl::Status(const Outcome&)>& on_outcome, bool stops_on_interrupt) {
  absl::StatusOr<std::vector<CompletionResult>> choices =
      CollectChoices(on_outcome, stops_on_interrupt);
  if (!choices.ok()) return choices.status();
  return std::move(choices->front());
}

absl::StatusOr<std::vector<CompletionResult>> Completion::CollectChoices(
    const std::function<absl::Status(const Outcome&)>& on_outcome, bool stops_on_interrupt) {
  EventLog log;
  log.Expect(shape_);
  absl::Duration first_token;
  absl::Status stopped;
  for (bool ended = false; !ended;) {
    std::optional<CompletionEvent> event = events_->Next(kInterruptPoll);
    if (stops_on_interrupt && Interrupts::Raised()) engine_->Cancel(id_);
    if (!event) continue;
    if (auto* finished = std::get_if<FinishedEvent>(&*event)) {
      if (finished->finish.reason == FinishReason::kError) stopped.Update(finished->status);
      log.Add(*finished);
      ended = true;
      continue;
    }
    Outcome& outcome = std::get<Outcome>(*event);
    if (first_token == absl::ZeroDuration() && !outcome.tokens.empty()) {
      first_token = absl::Now() - start_;
    }
    if (on_outcome && stopped.ok()) {
      stopped = on_outcome(outcome);
      if (!stopped.ok()) engine_->Cancel(id_);
    }
    stopped.Update(log.Add(std::move(outcome)));
  }
  if (!stopped.ok()) return stopped;
  const absl::Duration total = absl::Now() - start_;
  LogCursor cursor;
  std::vector<CompletionResult> results = ResultsOf(log.Read(cursor), shape_.choices);
  for (CompletionResult& result : results) {
    result.first_token = first_token;
    result.total = total;
  }
  return results;
}

absl::StatusOr<std::unique_ptr<LocalModel>> LocalModel::Load(const RuntimeSettings& settings) {
  absl::StatusOr<std::unique_ptr<ModelRuntime>> runtime = LoadRuntime(settings);
  if (!runtime.ok()) return runtime.status();
  const SchedulerSettings scheduler = SchedulerSettingsFor(settings, (*runtime)->info());
  if (absl::Status status = scheduler.Validate(); !status.ok()) return status;
  return std::unique_ptr<LocalModel>(new LocalModel(scheduler, *std::move(runtime)));
}

LocalModel::LocalModel(const SchedulerSettings& settings, const ServedModel& model)
    : model_(model), engine_(settings, model.executor, nullptr) {}

LocalModel::LocalModel(const SchedulerSettings& settings, std::unique_ptr<ModelRuntime> runtime)
    : runtime_(std::move(runtime)),
      text_(MakeModelText(*runtime_)),
      model_{runtime_->info(), text_.get(), &runtime_->executor()},
      engine_(settings, model_.executor, nullptr) {}

absl::StatusOr<std::unique_ptr<Completion>> LocalModel::Start(std::vector<TokenId> prompt,
                                                              const GenerationSpec& spec,
                                                              int32_t max_new_tokens,
                                                              const RequestShape& shape) {
  auto events = std::make_shared<Completion::EventQueue>();
  Request request;
  request.id = absl::StrCat("local-", ++requests_);
  request.prompt = std::make_shared<const std::vector<TokenId>>(std::move(prompt));
  request.max_new_tokens = max_new_tokens;
  request.spec = std::make_shared<const GenerationSpec>(spec);
  shape.Apply(request);
  request.sink = events;
  auto completion =
      std::unique_ptr<Completion>(new Completion(&engine_, request.id, shape, std::move(events)));
  if (absl::Status status = engine_.Submit(std::move(request)); !status.ok()) return status;
  return completion;
}

}  // namespace hocket
