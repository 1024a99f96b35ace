#include "simulation.h"

#include <algorithm>
#include <functional>
#include <utility>

#include "absl/strings/str_cat.h"
#include "scheduler/plan_digest.h"
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
        beam_(request.beam),
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
    if (!beam_) Serve(kGeneratedTokenCost * static_cast<double>(outcome.tokens.size()));
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
  const bool beam_;
  const int64_t resumed_tokens_;
  const std::shared_ptr<Sink> sink_;
  bool started_ = false;
};

// Of prompt and new tokens together, no more than the context; where contexts roll, more new ones.
double BoundOf(const SchedulerSettings& settings, bool rolls) {
  const int32_t context = settings.max_context_tokens;
  return rolls ? FairnessBound(settings.max_running_sequences, context,
                               Workload::kRolledContexts * context)
               : FairnessBound(settings.max_running_sequences, 0, context);
}

// Two counters are never further apart than the line's bound, so within any time their difference
// changes by at most twice that.
Simulation::Simulation(uint64_t seed)
    : random_(seed),
      workload_(&random_),
      settings_(workload_.RandomSettings()),
      fairness_bound_(2 * BoundOf(settings_, workload_.rolls())),
      executor_(settings_),
      gate_(settings_.admission),
      scheduler_(settings_) {
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
  report_.draft_tokens = scheduler_.Stats().draft_tokens;
  report_.accepted_draft_tokens = scheduler_.Stats().accepted_draft_tokens;
  report_.copied_blocks = executor_.copied_blocks();
  report_.preemptions = scheduler_.Stats().preemptions;
  report_.prefix_cache = scheduler_.Stats().prefix_cache;
  return std::move(report_);
}

void Simulation::Arrive() {
  const RequestShape shape =
      workload_.NextRequest(static_cast<int64_t>(lives_.size()), settings_, now_);
  const auto prompt_tokens = static_cast<int64_t>(shape.prompt.size());
  const absl::Status fits = scheduler_.CheckFits(prompt_tokens, shape.max_new_tokens, shape.choices,
                                                 shape.roll_kept_tokens.has_value());
  if (!fits.ok() || !gate_.Enter(shape.tenant, prompt_tokens).ok()) {
    ++report_.refused;
    return;
  }
  Life life{RecordedRequest(shape)};
  Request request = life.recorded.Copy();
  request.sink = std::make_shared<Listener>(this, request);
  executor_.Meet(request);
  if (request.beam) searches_.emplace(request.spec.get(), lives_.size());
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
  ServeBeams(plan, result);
  if (workload_.Chance(0.05)) Cancel(workload_.Cancels());  // Between a plan and its commit.
  absl::Duration executed;
  if (!plan.rows.empty()) executed = workload_.StepTime(scheduler_.LastPlanShape().load);
  now_ += executed;
  scheduler_.Commit(status, result, now_, executed);
  if (report_.steps % 4 == 0) scheduler_.CheckInvariants();
  const PlanShape shape = scheduler_.LastPlanShape();
  if (settings_.target_inter_token > absl::ZeroDuration() && shape.predicted_seconds > 0 &&
      shape.load.decode_rows > 0 &&
      shape.load.prefill_tokens - shape.draft_tokens > kPrefillGrain) {
    ++report_.timed_steps;
    if (executed > 1.5 * settings_.target_inter_token) ++report_.late_steps;
  }
}

void Simulation::ServeBeams(const StepPlan& plan, const StepResult& result) {
  for (const SequenceId sequence : plan.ends) beams_.erase(sequence);
  for (const SequenceStart& start : plan.starts) {
    const auto found = searches_.find(start.spec.get());
    if (found != searches_.end()) beams_.emplace(start.sequence, found->second);
  }
  for (const Outcome& outcome : result.outcomes) {
    if (!outcome.move.has_value()) continue;
    const Request& request = lives_[beams_.at(outcome.sequence)].recorded.request;
    fairness_.Serve({request.priority, request.tenant},
                    kGeneratedTokenCost / request.tenant_weight);
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
  report_.plan_digest = report_.plan_digest * 31 + PlanDigest(plan);
}

void Simulation::CheckTarget() {
  const PlanShape shape = scheduler_.LastPlanShape();
  const double target = absl::ToDoubleSeconds(settings_.target_inter_token);
  if (target == 0 || shape.predicted_seconds == 0 || shape.load.decode_rows == 0) return;
  const int32_t prompt_tokens = shape.load.prefill_tokens - shape.draft_tokens;
  // However slow, prompts advance by a grain; guesses alone never make a step late.
  const bool may_be_late =
      prompt_tokens > 0 ? prompt_tokens <= kPrefillGrain : shape.draft_tokens == 0;
  Expect(may_be_late || shape.predicted_seconds <= target + 1e-9,
         "a step beside decoders is predicted to keep the target");
}

void Simulation::FinishAll() {
  // Sometimes the drain's grace period runs out.
  const int grace_steps = workload_.Chance(0.2) ? workload_.Between(0, 50) : -1;
  // The first of those who run advances in every step, so this many steps are enough for all.
  int64_t bound = 16;
  for (const Life& life : lives_) {
    if (life.recorded.sink->Ended()) continue;
    const Request& request = life.recorded.request;
    const int64_t tokens = static_cast<int64_t>(request.prompt->size()) +
                           2 * request.max_new_tokens + settings_.max_context_tokens;
    // Each time a context rolls, at least one token later, half of it or more is computed again.
    const int64_t rolls = request.roll_kept_tokens.has_value() ? request.max_new_tokens : 0;
    bound += request.choices * (tokens + rolls * settings_.max_context_tokens);
  }
  for (int64_t step = 0; scheduler_.HasWork() && report_.violations.empty(); ++step) {
    if (step == grace_steps) {
      const SchedulerStats stats = scheduler_.Stats();
      const int ended = scheduler_.EndAll(FinishReason::kShutdown, now_);
      Expect(ended == stats.running_requests + stats.waiting_requests, "a drain ends all");
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
  if (heard.reason() != FinishReason::kShutdown || life.recorded.request.choices > 1) return;
  std::vector<TokenId> generated;
  if (const auto& resumed = life.recorded.request.resumed) generated = *resumed;
  generated.insert(generated.end(), heard.tokens.begin(), heard.tokens.end());
  Expect(heard.finished.generated == generated, "a shutdown tells what to resume from", id);
}

void Simulation::JudgeAnswer(const Life& life, const Heard& heard) {
  const Request& request = life.recorded.request;
  const bool whole = heard.finished.status.ok();
  const std::vector<FakeAnswer> answers = OfflineAnswers(request, settings_.max_context_tokens);
  Expect(heard.choices.size() <= static_cast<size_t>(request.choices), "a choice is one of those",
         request.id);
  if (whole && request.choices == 1 && heard.choices.empty()) {
    // Nothing was asked for, and there was nothing to tell.
    Expect(answers[0].tokens.empty(), "a natural end has all tokens", request.id);
  } else if (whole) {
    Expect(heard.choices.size() == static_cast<size_t>(request.choices), "every choice is told",
           request.id);
  }
  for (size_t i = 0; i < heard.choices.size(); ++i) {
    const HeardChoice& choice = heard.choices[i];
    if (whole) Expect(choice.finish.has_value(), "every choice ends", request.id);
    if (i >= answers.size()) {  // Of a beam search, and not among the best.
      Expect(choice.tokens.empty() && choice.text.empty(), "only the best are told", request.id);
      continue;
    }
    const FakeAnswer answer =
        AnswerAfter(answers[i], request.resumed == nullptr ? 0 : request.resumed->size());
    Expect(StartsWith(answer.tokens, choice.tokens), "tokens are the model's, in order",
           request.id);
    Expect(answer.text.starts_with(choice.text), "text is the model's, none repeated", request.id);
    if (!choice.finish.has_value()) continue;
    Expect(choice.tokens == answer.tokens, "a natural end has all tokens", request.id);
    Expect(choice.text == answer.text, "a natural end has all text", request.id);
    Expect(choice.finish->reason == answer.reason, "the finish reason is the model's", request.id);
  }
  JudgePromptScores(life, heard);
  if (!whole) return;
  Expect(heard.reason() == answers[0].reason, "the request's reason is its first choice's",
         request.id);
  CountWhole(life, answers);
}

void Simulation::CountWhole(const Life& life, const std::vector<FakeAnswer>& answers) {
  const Request& request = life.recorded.request;
  if (request.choices > 1) ++report_.whole_groups;
  if (request.beam) ++report_.whole_beams;
  if (!request.roll_kept_tokens.has_value()) return;
  for (const FakeAnswer& answer : answers) {
    const size_t tokens = request.prompt->size() + answer.tokens.size();
    if (tokens > static_cast<size_t>(settings_.max_context_tokens)) ++report_.rolled_choices;
  }
}

void Simulation::JudgePromptScores(const Life& life, const Heard& heard) {
  const Request& request = life.recorded.request;
  const size_t prompt_scores =
      request.spec->output.prompt_logprobs ? request.prompt->size() - 1 : 0;
  Expect(heard.prompt_scores.size() <= prompt_scores, "no prompt score is repeated", request.id);
  for (size_t i = 0; i < heard.prompt_scores.size(); ++i) {
    Expect(heard.prompt_scores[i].token == (*request.prompt)[i + 1], "prompt scores are in order",
           request.id);
  }
  if (!heard.finished.status.ok()) return;
  Expect(heard.prompt_scores.size() == prompt_scores, "every prompt token is scored", request.id);
}

}  // namespace hocket
