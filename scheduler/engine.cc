#include "scheduler/engine.h"

#include <algorithm>
#include <chrono>
#include <condition_variable>
#include <cstdint>
#include <mutex>
#include <thread>
#include <unordered_map>
#include <utility>
#include <variant>
#include <vector>

#include "absl/strings/str_cat.h"
#include "scheduler/invariant.h"

namespace hocket {
namespace {

// A wait of any length that neither overflows nor trusts one sleep for long.
std::chrono::nanoseconds BoundedWait(absl::Duration wait) {
  return absl::ToChronoNanoseconds(std::clamp(wait, absl::ZeroDuration(), absl::Seconds(1)));
}

constexpr absl::Duration kMinRetryDelay = absl::Milliseconds(50);
constexpr absl::Duration kMaxRetryDelay = absl::Seconds(30);
constexpr double kStartIntervalFading = 0.8;

}  // namespace

// What the engine thread and its callers share is under one mutex, held only for moments; the
// scheduler itself belongs to the engine thread alone.
class Engine::Loop {
 public:
  Loop(const SchedulerSettings& settings, Executor* executor, EngineObserver* observer,
       std::function<absl::Time()> clock, PlanTraceWriter* trace);
  ~Loop();

  absl::Status CheckFits(int64_t prompt_tokens, int64_t max_new_tokens, int64_t choices,
                         bool rolls) const {
    // Touches only what never changes.
    return scheduler_.CheckFits(prompt_tokens, max_new_tokens, choices, rolls);
  }
  absl::Status Submit(Request request, const TenantLimits& limits);
  absl::Duration RetryDelay(Refusal refusal) const;
  bool Cancel(const std::string& request_id);
  int Drain(absl::Time deadline);
  void SetAdmission(const AdmissionLimits& limits);
  SchedulerStats Stats() const;
  absl::Time LastProgress() const;

 private:
  struct Submission {
    Request request;
    absl::Time submitted;
  };
  struct Cancellation {
    std::string request_id;
  };
  using Command = std::variant<Submission, Cancellation>;

  // Sits between a request and its sink, to note that the request is no longer held.
  class HeldSink;

  void Run();
  bool TakeCommands();  // Waits for something to do; false when the thread is to
                        // stop.
  void Obey(Command& command, absl::Time now);
  void Step();
  SchedulerStats PublishStats();
  void NoteStart(const std::string& tenant, int64_t prompt_tokens);
  void EndAll();

  Executor* const executor_;
  EngineObserver* const observer_;
  const std::function<absl::Time()> clock_;
  PlanTraceWriter* const trace_;  // May be null.

  mutable std::mutex mutex_;
  std::condition_variable wake_;   // The engine thread waits on it.
  std::condition_variable ended_;  // Drain waits on it.
  // Guarded by mutex_:
  std::vector<Command> inbox_;  // In order. Bounded: one submission and one cancel per held id.
  int32_t inbox_submissions_ = 0;
  std::unordered_map<std::string, bool> held_ids_;  // Whether its cancel is already in the inbox.
  int32_t unfinished_ = 0;                          // Submitted requests whose OnFinished had not
                                                    // returned at the last publishing of stats_.
  AdmissionGate gate_;
  absl::Time last_start_;                             // Of a request, by its first plan.
  absl::Duration start_interval_ = absl::Seconds(1);  // Between two, of late.
  bool draining_ = false;
  bool end_all_ = false;
  bool stop_ = false;
  bool idle_ = true;
  int32_t ended_by_shutdown_ = 0;
  SchedulerStats stats_;
  absl::Time last_progress_;

  // The engine thread's own:
  Scheduler scheduler_;
  std::vector<Command> commands_;
  StepResult result_;
  bool end_all_now_ = false;
  int32_t ended_now_ = 0;  // Requests whose OnFinished has returned since stats were published.
  bool stalled_ = false;   // The last plan could do nothing, and nothing has changed since.

  std::thread thread_;  // Last: it uses all of the above.
};

class Engine::Loop::HeldSink final : public Sink {
 public:
  HeldSink(Loop* loop, const Request& request)
      : loop_(loop),
        request_id_(request.id),
        tenant_(request.tenant),
        prompt_tokens_(static_cast<int64_t>(request.prompt->size())),
        sink_(request.sink) {}

  void OnStarted(const StartedEvent& event) override {
    started_ = true;
    loop_->NoteStart(tenant_, prompt_tokens_);
    sink_->OnStarted(event);
  }
  void OnOutcome(Outcome outcome) override { sink_->OnOutcome(std::move(outcome)); }
  void OnFinished(const FinishedEvent& event) override {
    // First, so that whoever hears the end can use the id again.
    {
      std::lock_guard lock(loop_->mutex_);
      loop_->held_ids_.erase(request_id_);
      loop_->gate_.Leave(tenant_, prompt_tokens_, started_);
    }
    sink_->OnFinished(event);
    sink_.reset();
    ++loop_->ended_now_;
  }

 private:
  Loop* const loop_;
  const std::string request_id_;
  const std::string tenant_;
  const int64_t prompt_tokens_;
  std::shared_ptr<Sink> sink_;
  bool started_ = false;
};

Engine::Loop::Loop(const SchedulerSettings& settings, Executor* executor, EngineObserver* observer,
                   std::function<absl::Time()> clock, PlanTraceWriter* trace)
    : executor_(executor),
      observer_(observer),
      clock_(std::move(clock)),
      trace_(trace),
      gate_(settings.admission),
      last_start_(clock_()),
      last_progress_(clock_()),
      scheduler_(settings) {
  stats_ = scheduler_.Stats();
  thread_ = std::thread([this] { Run(); });
}

Engine::Loop::~Loop() {
  {
    std::lock_guard lock(mutex_);
    draining_ = true;
    stop_ = true;
  }
  wake_.notify_one();
  thread_.join();
}

absl::Status Engine::Loop::Submit(Request request, const TenantLimits& limits) {
  const int64_t prompt_tokens = static_cast<int64_t>(request.prompt->size());
  if (absl::Status fits = CheckFits(prompt_tokens, request.max_new_tokens, request.choices,
                                    request.roll_kept_tokens.has_value());
      !fits.ok()) {
    return fits;
  }
  const absl::Time now = clock_();
  {
    std::lock_guard lock(mutex_);
    if (draining_) return absl::UnavailableError("the server is draining and takes no requests");
    if (held_ids_.contains(request.id)) {
      return absl::AlreadyExistsError(
          absl::StrCat("a request with id \"", request.id, "\" is held"));
    }
    if (absl::Status taken = gate_.Enter(request.tenant, prompt_tokens, limits); !taken.ok()) {
      return taken;
    }
    request.sink = std::make_shared<HeldSink>(this, request);
    held_ids_.emplace(request.id, false);
    if (idle_) last_progress_ = now;
    inbox_.push_back(Submission{.request = std::move(request), .submitted = now});
    ++inbox_submissions_;
    ++unfinished_;
  }
  wake_.notify_one();
  return absl::OkStatus();
}

absl::Duration Engine::Loop::RetryDelay(Refusal refusal) const {
  std::lock_guard lock(mutex_);
  const bool of_tenant = refusal != Refusal::kWaitingRequests && refusal != Refusal::kWaitingTokens;
  // Tenants are served by turns.
  const double turns = of_tenant ? static_cast<double>(std::max<size_t>(gate_.tenants(), 1)) : 1;
  return std::clamp(start_interval_ * turns, kMinRetryDelay, kMaxRetryDelay);
}

bool Engine::Loop::Cancel(const std::string& request_id) {
  {
    std::lock_guard lock(mutex_);
    const auto found = held_ids_.find(request_id);
    if (found == held_ids_.end()) return false;
    if (found->second) return true;
    found->second = true;
    inbox_.push_back(Cancellation{.request_id = request_id});
  }
  wake_.notify_one();
  return true;
}

int Engine::Loop::Drain(absl::Time deadline) {
  std::unique_lock lock(mutex_);
  draining_ = true;
  while (unfinished_ > 0) {
    const absl::Duration left = deadline - clock_();
    if (left <= absl::ZeroDuration()) break;
    ended_.wait_for(lock, BoundedWait(left));
  }
  const int32_t ended_before = ended_by_shutdown_;
  if (unfinished_ > 0) {
    end_all_ = true;
    wake_.notify_one();
    ended_.wait(lock, [this] { return unfinished_ == 0; });
  }
  return ended_by_shutdown_ - ended_before;
}

void Engine::Loop::SetAdmission(const AdmissionLimits& limits) {
  std::lock_guard lock(mutex_);
  gate_.set_limits(limits);
}

SchedulerStats Engine::Loop::Stats() const {
  std::lock_guard lock(mutex_);
  SchedulerStats stats = stats_;
  stats.waiting_requests += inbox_submissions_;
  return stats;
}

absl::Time Engine::Loop::LastProgress() const {
  std::lock_guard lock(mutex_);
  return idle_ && inbox_.empty() ? clock_() : last_progress_;
}

void Engine::Loop::Run() {
  while (TakeCommands()) {
    const absl::Time now = clock_();
    for (Command& command : commands_) Obey(command, now);
    commands_.clear();
    if (end_all_now_) EndAll();
    Step();
  }
  const absl::Time now = clock_();
  for (Command& command : commands_) Obey(command, now);
  commands_.clear();
  EndAll();
  Step();  // Lets the executor drop its sequences' state.
}

bool Engine::Loop::TakeCommands() {
  std::unique_lock lock(mutex_);
  const auto called = [this] { return stop_ || end_all_ || !inbox_.empty(); };
  if (!scheduler_.HasWork()) {
    idle_ = true;
    last_progress_ = clock_();
    wake_.wait(lock, called);
    last_progress_ = clock_();
    idle_ = false;
  } else if (stalled_) {
    wake_.wait_for(lock, BoundedWait(scheduler_.NextDeadline() - clock_()), called);
  }
  commands_.swap(inbox_);
  // Until the scheduler has planned them, they count as waiting.
  stats_.waiting_requests += std::exchange(inbox_submissions_, 0);
  end_all_now_ = std::exchange(end_all_, false);
  return !stop_;
}

void Engine::Loop::Obey(Command& command, absl::Time now) {
  if (auto* cancellation = std::get_if<Cancellation>(&command)) {
    if (trace_ != nullptr) trace_->Cancel(cancellation->request_id, FinishReason::kCancelled, now);
    scheduler_.Cancel(cancellation->request_id, FinishReason::kCancelled, now);
    return;
  }
  auto& [request, submitted] = std::get<Submission>(command);
  if (trace_ != nullptr) trace_->Add(request, submitted);
  const absl::Status added = scheduler_.Add(std::move(request), submitted);
  Invariant(added.ok(), "the scheduler takes what Submit has admitted");
}

void Engine::Loop::Step() {
  const absl::Time begin = clock_();
  const StepPlan& plan = scheduler_.Plan(begin);
  if (trace_ != nullptr) trace_->Plan(plan, begin);
  stalled_ = plan.rows.empty() && plan.ends.empty();
  PublishStats();  // What was just admitted no longer waits, however long the
                   // step takes.
  const absl::Time execute_begin = clock_();
  absl::Status status;
  result_.outcomes.clear();
  result_.timings = {};
  if (!stalled_) status = executor_->Execute(plan, result_);
  const absl::Time execute_end = clock_();
  const absl::Duration executed = stalled_ ? absl::ZeroDuration() : execute_end - execute_begin;
  if (trace_ != nullptr) trace_->Commit(status, result_, execute_end, executed);
  scheduler_.Commit(status, result_, execute_end, executed);
  const absl::Time end = clock_();
  const SchedulerStats stats = PublishStats();
  {
    std::lock_guard lock(mutex_);
    last_progress_ = end;
  }
  if (observer_ == nullptr || stalled_) return;
  const PlanShape shape = scheduler_.LastPlanShape();
  observer_->OnStep({.decode_rows = shape.load.decode_rows,
                     .prefill_rows = shape.prefill_rows,
                     .prefill_tokens = shape.load.prefill_tokens - shape.draft_tokens,
                     .duration = end - begin,
                     .execute = execute_end - execute_begin,
                     .predicted_seconds = shape.predicted_seconds,
                     .timings = result_.timings,
                     .stats = stats});
}

SchedulerStats Engine::Loop::PublishStats() {
  const SchedulerStats stats = scheduler_.Stats();
  std::lock_guard lock(mutex_);
  stats_ = stats;
  unfinished_ -= std::exchange(ended_now_, 0);
  // Notified under the lock: who waits may destroy the engine as soon as it can see the count.
  if (unfinished_ == 0) ended_.notify_all();
  return stats;
}

void Engine::Loop::NoteStart(const std::string& tenant, int64_t prompt_tokens) {
  const absl::Time now = clock_();
  std::lock_guard lock(mutex_);
  gate_.Start(tenant, prompt_tokens);
  const absl::Duration interval = std::max(now - last_start_, absl::ZeroDuration());
  start_interval_ = kStartIntervalFading * start_interval_ + (1 - kStartIntervalFading) * interval;
  last_start_ = now;
}

void Engine::Loop::EndAll() {
  // Counted before the sinks hear of it, since Drain returns when the last has.
  const SchedulerStats stats = scheduler_.Stats();
  {
    std::lock_guard lock(mutex_);
    ended_by_shutdown_ += stats.running_requests + stats.waiting_requests;
  }
  const absl::Time now = clock_();
  if (trace_ != nullptr) trace_->EndAll(FinishReason::kShutdown, now);
  scheduler_.EndAll(FinishReason::kShutdown, now);
}

Engine::Engine(const SchedulerSettings& settings, Executor* executor, EngineObserver* observer,
               std::function<absl::Time()> clock, PlanTraceWriter* trace)
    : loop_(std::make_unique<Loop>(settings, executor, observer, std::move(clock), trace)) {}
Engine::~Engine() = default;

absl::Status Engine::Submit(Request request, const TenantLimits& limits) {
  return loop_->Submit(std::move(request), limits);
}
absl::Duration Engine::RetryDelay(Refusal refusal) const { return loop_->RetryDelay(refusal); }
absl::Status Engine::CheckFits(int64_t prompt_tokens, int64_t max_new_tokens, int64_t choices,
                               bool rolls) const {
  return loop_->CheckFits(prompt_tokens, max_new_tokens, choices, rolls);
}
bool Engine::Cancel(const std::string& request_id) { return loop_->Cancel(request_id); }
int Engine::Drain(absl::Time deadline) { return loop_->Drain(deadline); }
void Engine::SetAdmission(const AdmissionLimits& limits) { loop_->SetAdmission(limits); }
SchedulerStats Engine::Stats() const { return loop_->Stats(); }
absl::Time Engine::LastProgress() const { return loop_->LastProgress(); }

}  // namespace hocket
