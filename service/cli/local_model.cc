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

namespace hocket {
namespace {

constexpr absl::Duration kInterruptPoll = absl::Milliseconds(50);

template <typename T>
void MoveAppend(std::vector<T>& from, std::vector<T>* to) {
  to->insert(to->end(), std::make_move_iterator(from.begin()), std::make_move_iterator(from.end()));
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

Completion::Completion(Engine* engine, std::string id, std::shared_ptr<EventQueue> events)
    : engine_(engine), id_(std::move(id)), start_(absl::Now()), events_(std::move(events)) {}

Completion::~Completion() { engine_->Cancel(id_); }

absl::StatusOr<CompletionResult> Completion::Collect(
    const std::function<absl::Status(const Outcome&)>& on_outcome, bool stops_on_interrupt) {
  CompletionResult result;
  absl::Status stopped;
  while (true) {
    std::optional<CompletionEvent> event = events_->Next(kInterruptPoll);
    if (stops_on_interrupt && Interrupts::Raised()) engine_->Cancel(id_);
    if (!event) continue;
    if (auto* finished = std::get_if<FinishedEvent>(&*event)) {
      result.finished = std::move(*finished);
      break;
    }
    Outcome& outcome = std::get<Outcome>(*event);
    if (result.tokens.empty() && !outcome.tokens.empty()) result.first_token = absl::Now() - start_;
    if (on_outcome && stopped.ok()) {
      stopped = on_outcome(outcome);
      if (!stopped.ok()) engine_->Cancel(id_);
    }
    MoveAppend(outcome.tokens, &result.tokens);
    MoveAppend(outcome.scores, &result.scores);
    MoveAppend(outcome.explanations, &result.explanations);
    MoveAppend(outcome.prompt_scores, &result.prompt_scores);
    result.text += outcome.text;
  }
  result.total = absl::Now() - start_;
  if (!stopped.ok()) return stopped;
  if (result.finished.finish.reason == FinishReason::kError) return result.finished.status;
  return result;
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
                                                              int32_t max_new_tokens) {
  auto events = std::make_shared<Completion::EventQueue>();
  Request request;
  request.id = absl::StrCat("local-", ++requests_);
  request.prompt = std::make_shared<const std::vector<TokenId>>(std::move(prompt));
  request.max_new_tokens = max_new_tokens;
  request.spec = std::make_shared<const GenerationSpec>(spec);
  request.sink = events;
  auto completion =
      std::unique_ptr<Completion>(new Completion(&engine_, request.id, std::move(events)));
  if (absl::Status status = engine_.Submit(std::move(request)); !status.ok()) return status;
  return completion;
}

}  // namespace hocket
