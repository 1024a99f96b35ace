#include "simulation.h"

#include <algorithm>
#include <functional>
#include <utility>

#include "absl/strings/str_cat.h"
#include "scheduler/step_text.h"
#include "scheduler/waiting_line.h"

namespace hocket {
namespace {

constexpr int kArrivalSteps = 120;

bool StartsWith(const std::vector<TokenId>& whole, const std::vector<TokenId>& part) {
  return part.size() <= whole.size() && std::equal(part.begin(), part.end(), whole.begin());
}

}  // namespace

// Tells the simulation what a request is given, as the engine's own sink does for its gate.
class Simulation::Listener final : public Sink {
 public:
  Listener(Simulation* simulation, const Request& request)
      : simulation_(simulation),
        tenant_(request.priority, request.tenant),
        weight_(request.tenant_weight),
        prompt_tokens_(static_cast<int64_t>(request.prompt->size())),
        resumed_tokens_(request.resumed == nullptr ? 0
                                                   : static_cast<int64_t>(request.resumed->size())),
        sink_(request.sink) {
    simulation_->fairness_.Wait(tenant_, 1);
  }

  void OnStarted(const StartedEvent& event) override {
    started_ = true;
    simulation_->gate_.Start(tenant_.second, prompt_tokens_);
    simulation_->fairness_.Wait(tenant_, -1);
    Serve(static_cast<double>(event.prompt_tokens + resumed_tokens_ - event.cached_tokens));
    sink_->OnStarted(event);
  }
  void OnOutcome(Outcome outcome) override {
    Serve(kGeneratedTokenCost * static_cast<double>(outcome.tokens.size()));
    sink_->OnOutcome(std::move(outcome));
  }
  void OnFinished(const FinishedEvent& event) override {
    simulation_->gate_.Leave(tenant_.second, prompt_tokens_, started_);
    if (!started_) simulation_->fairness_.Wait(tenant_, -1);
    sink_->OnFinished(event);
  }

 private:
  void Serve(double tokens) { simulation_->fairness_.Serve(tenant_, tokens / weight_); }

  Simulation* const simulation_;
  const FairnessWatch::Key tenant_;
  const double weight_;
  const int64_t prompt_tokens_;
  const int64_t resumed_tokens_;
  const std::shared_ptr<Sink> sink_;
  bool started_ = false;
};

// Two counters are never further apart than the line's bound, so within any time their difference
// changes by at most twice that.
Simulation::Simulation(uint64_t seed)
    : random_(seed),
      workload_(&random_),
      settings_(workload_.RandomSettings()),
      fairness_bound_(2 *
                      FairnessBound(settings_.max_running_sequences, settings_.max_context_tokens)),
      executor_(settings_),
      gate_(settings_.admission),
      scheduler_(settings_) {
  executor_.draws_per_row = workload_.Chance(0.3) ? workload_.Between(2, 4) : 1;
  executor_.row_fault = [this](const PlanRow&) {
    return workload_.FaultyRow() ? absl::InternalError("injected row fault") : absl::OkStatus();
  };
}

void Simulation::Expect(bool holds, std::string_view promise, std::string_view where) {
  if (holds) return;
  report_.violations.emplace_back(promise);
  if (!where.empty()) report_.violations.back().append(": ").append(where);
}

SimulationReport Simulation::Run() {
  for (int i = 0; i < kArrivalSteps && report_.violations.empty(); ++i) {
    for (int32_t left = workload_.Arrivals(); left > 0; --left) Arrive();
    Cancel(workload_.Cancels());
    Step();
  }
  if (report_.violations.empty()) FinishAll();
  if (report_.violations.empty()) Judge();
  report_.preemptions = scheduler_.Stats().preemptions;
  report_.prefix_cache = scheduler_.Stats().prefix_cache;
  return std::move(report_);
}

void Simulation::Arrive() {
  const RequestShape shape =
      workload_.NextRequest(static_cast<int64_t>(lives_.size()), settings_, now_);
  Life life{RecordedRequest(shape)};
  Request request = life.recorded.Copy();
  const auto prompt_tokens = static_cast<int64_t>(shape.prompt.size());
  const absl::Status fits = scheduler_.CheckFits(prompt_tokens, shape.max_new_tokens);
  if (!fits.ok() || !gate_.Enter(request.tenant, prompt_tokens).ok()) {
    ++report_.refused;
    return;
  }
  request.sink = std::make_shared<Listener>(this, request);
  const absl::Status status = scheduler_.Add(std::move(request), now_);
  Expect(status.ok(), "what fits and passes the gate is admitted", std::string(status.message()));
  ++report_.requests;
  if (shape.deadline != absl::InfiniteFuture()) deadlines_.emplace(shape.deadline, lives_.size());
  lives_.push_back(std::move(life));
}

void Simulation::Cancel(int32_t count) {
  for (; count > 0 && !lives_.empty(); --count) {
    const size_t recent = std::min<size_t>(lives_.size(), 40);
    Life& life = lives_[lives_.size() - 1 - random_() % recent];
    const bool ended = life.recorded.sink->Ended();
    const bool found = scheduler_.Cancel(life.recorded.request.id, FinishReason::kCancelled, now_);
    Expect(found != ended, "cancel finds what has not ended", life.recorded.request.id);
    if (found) life.cancelled = true;
    Expect(life.recorded.sink->Ended(), "cancel ends at once", life.recorded.request.id);
  }
}

void Simulation::Step() {
  now_ += absl::Microseconds(200) + workload_.ClockJump();
  const StepPlan& plan = scheduler_.Plan(now_);
  CheckPlan(plan);
  const bool faulty = !plan.rows.empty() && workload_.FaultyStep();
  executor_.step_fault = [faulty] {
    return faulty ? absl::InternalError("injected step fault") : absl::OkStatus();
  };
  StepResult result;
  const absl::Status status = executor_.Execute(plan, result);
  for (const std::string& violation : executor_.violations()) Expect(false, violation);
  if (workload_.Chance(0.05)) Cancel(workload_.Cancels());  // Between a plan and its commit.
  absl::Duration executed;
  if (!plan.rows.empty()) executed = workload_.StepTime(scheduler_.LastPlanShape().load);
  now_ += executed;
  scheduler_.Commit(status, result, now_, executed);
  if (report_.steps % 4 == 0) scheduler_.CheckInvariants();
  const PlanShape shape = scheduler_.LastPlanShape();
  if (settings_.target_inter_token > absl::ZeroDuration() && shape.predicted_seconds > 0 &&
      shape.load.decode_rows > 0 && shape.load.prefill_tokens > kPrefillGrain) {
    ++report_.timed_steps;
    if (executed > 1.5 * settings_.target_inter_token) ++report_.late_steps;
  }
}

void Simulation::CheckPlan(const StepPlan& plan) {
  if (report_.steps++ % 4 == 0) scheduler_.CheckInvariants();
  latest_plan_ = std::max(latest_plan_, now_);
  const SchedulerStats stats = scheduler_.Stats();
  Expect(stats.running_sequences + stats.waiting_requests == 0 || !plan.rows.empty(),
         "a step computes something while something is held");
  while (!deadlines_.empty() && deadlines_.begin()->first <= now_) {
    const Life& life = lives_[deadlines_.begin()->second];
    Expect(life.recorded.sink->Ended(), "a deadline ends its request in the next plan",
           life.recorded.request.id);
    deadlines_.erase(deadlines_.begin());
  }
  CheckTarget();
  const double gap = fairness_.LargestGap() / fairness_bound_;
  Expect(gap <= 1, "tenants that both wait are served alike, within the bound");
  report_.fairness_gap = std::max(report_.fairness_gap, gap);
  report_.plan_digest = report_.plan_digest * 31 + std::hash<std::string>()(PlanText(plan));
}

void Simulation::CheckTarget() {
  const PlanShape shape = scheduler_.LastPlanShape();
  const double target = absl::ToDoubleSeconds(settings_.target_inter_token);
  if (target == 0 || shape.predicted_seconds == 0 || shape.load.decode_rows == 0) return;
  Expect(shape.load.prefill_tokens <= kPrefillGrain || shape.predicted_seconds <= target + 1e-9,
         "a step beside decoders is predicted to keep the target");
}

void Simulation::FinishAll() {
  // Sometimes the drain's grace period runs out.
  const int grace_steps = workload_.Chance(0.2) ? workload_.Between(0, 50) : -1;
  // The first of those who run advances in every step, so this many steps are enough for all.
  int64_t bound = 16;
  for (const Life& life : lives_) {
    if (life.recorded.sink->Ended()) continue;
    bound += static_cast<int64_t>(life.recorded.request.prompt->size()) +
             2 * life.recorded.request.max_new_tokens + settings_.max_context_tokens;
  }
  for (int64_t step = 0; scheduler_.HasWork() && report_.violations.empty(); ++step) {
    if (step == grace_steps) {
      const SchedulerStats stats = scheduler_.Stats();
      const int ended = scheduler_.EndAll(FinishReason::kShutdown, now_);
      Expect(ended == stats.running_sequences + stats.waiting_requests, "a drain ends all");
    }
    if (step > bound) {
      Expect(false, "every admitted request finishes (livelock)");
      return;
    }
    Step();
  }
}

void Simulation::Judge() {
  Expect(scheduler_.Stats().used_blocks == 0, "no block is leaked");
  Expect(executor_.live_sequences() == 0, "the executor hears of every end");
  for (const Life& life : lives_) {
    const Heard heard = life.recorded.sink->Get();
    const std::string& id = life.recorded.request.id;
    for (const std::string& violation : heard.violations) Expect(false, violation, id);
    Expect(heard.finished_events == 1, "a request ends exactly once", id);
    if (heard.finished_events != 1) continue;
    ++report_.ends[static_cast<int>(heard.reason())];
    JudgeFinish(life, heard);
    JudgeAnswer(life, heard);
  }
}

void Simulation::JudgeFinish(const Life& life, const Heard& heard) {
  const std::string& id = life.recorded.request.id;
  const absl::Status& status = heard.finished.status;
  switch (heard.reason()) {
    case FinishReason::kCancelled:
      Expect(life.cancelled, "only what was cancelled ends so", id);
      break;
    case FinishReason::kDeadline:
      if (std::string(status.message()).starts_with("by prediction")) {
        ++report_.hopeless;
      } else {
        Expect(life.recorded.request.deadline <= latest_plan_, "its deadline passed", id);
      }
      break;
    case FinishReason::kError:
      Expect(std::string(status.message()).starts_with("injected"), "only faults fail", id);
      break;
    case FinishReason::kShutdown:
      Expect(status.code() == absl::StatusCode::kUnavailable, "a shutdown says so", id);
      break;
    default:
      Expect(status.ok(), "a natural end is OK", id);
  }
  Expect(heard.finished.usage.generated_tokens == static_cast<int64_t>(heard.tokens.size()),
         "usage counts what was sent", id);
  if (heard.reason() != FinishReason::kShutdown) return;
  std::vector<TokenId> generated;
  if (const auto& resumed = life.recorded.request.resumed) generated = *resumed;
  generated.insert(generated.end(), heard.tokens.begin(), heard.tokens.end());
  Expect(heard.finished.generated == generated, "a shutdown tells what to resume from", id);
}

void Simulation::JudgeAnswer(const Life& life, const Heard& heard) {
  const Request& request = life.recorded.request;
  const FakeAnswer answer = AnswerAfter(OfflineAnswer(*request.prompt, *request.spec),
                                        request.resumed == nullptr ? 0 : request.resumed->size());
  Expect(StartsWith(answer.tokens, heard.tokens), "tokens are the model's, in order", request.id);
  Expect(answer.text.starts_with(heard.text), "text is the model's, none repeated", request.id);
  const size_t prompt_scores =
      request.spec->output.prompt_logprobs ? request.prompt->size() - 1 : 0;
  Expect(heard.prompt_scores.size() <= prompt_scores, "no prompt score is repeated", request.id);
  for (size_t i = 0; i < heard.prompt_scores.size(); ++i) {
    Expect(heard.prompt_scores[i].token == (*request.prompt)[i + 1], "prompt scores are in order",
           request.id);
  }
  if (!heard.finished.status.ok()) return;
  Expect(heard.tokens == answer.tokens, "a natural end has all tokens", request.id);
  Expect(heard.text == answer.text, "a natural end has all text", request.id);
  Expect(heard.reason() == answer.reason, "the finish reason is the model's", request.id);
  Expect(heard.prompt_scores.size() == prompt_scores, "every prompt token is scored", request.id);
}

}  // namespace hocket
