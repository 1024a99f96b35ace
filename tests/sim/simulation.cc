#include "simulation.h"

#include <algorithm>
#include <functional>
#include <utility>

#include "absl/strings/str_cat.h"
#include "scheduler/step_text.h"

namespace hocket {
namespace {

constexpr int kArrivalSteps = 120;

bool StartsWith(const std::vector<TokenId>& whole, const std::vector<TokenId>& part) {
  return part.size() <= whole.size() && std::equal(part.begin(), part.end(), whole.begin());
}

}  // namespace

SchedulerSettings Simulation::RandomSettings(std::mt19937_64& random) {
  const auto pick = [&](std::initializer_list<int32_t> choices) {
    return choices.begin()[random() % choices.size()];
  };
  SchedulerSettings settings;
  settings.block_tokens = pick({1, 2, 4, 16});
  settings.max_context_tokens = pick({16, 48, 96});
  settings.max_running_sequences = pick({1, 2, 4, 8, 16});
  settings.max_step_tokens = pick({1, 3, 8, 32, 128});
  settings.max_waiting_requests = pick({1, 4, 16, 64});
  // From less than one full context to plenty for all.
  const int32_t context_blocks = settings.max_context_tokens / settings.block_tokens + 1;
  settings.total_blocks = std::max(1, context_blocks * pick({1, 2, 3, 4, 5, 8, 32}) / 2);
  settings.prefix_cache = pick({0, 1, 1}) != 0;
  return settings;
}

Simulation::Simulation(uint64_t seed)
    : random_(seed),
      settings_(RandomSettings(random_)),
      executor_(settings_),
      scheduler_(settings_) {
  arrival_rate_ = std::uniform_real_distribution<>(0.1, 2.5)(random_);
  long_rate_ = Chance(0.3) ? 0.7 : 0.1;
  // Short prompts are let in by the dozen and then all grow.
  famine_ = Chance(0.3);
  shared_prefixes_ = Chance(0.5);
  cancel_rate_ = Chance(0.5) ? 0.05 : (Chance(0.2) ? 0.5 : 0);
  row_fault_rate_ = Chance(0.3) ? 0.005 : 0;
  step_fault_rate_ = Chance(0.3) ? 0.01 : 0;
  executor_.draws_per_row = Chance(0.3) ? Between(2, 4) : 1;
}

bool Simulation::Chance(double probability) {
  return std::uniform_real_distribution<>(0, 1)(random_) < probability;
}

int32_t Simulation::Between(int32_t low, int32_t high) {
  return low + static_cast<int32_t>(random_() % static_cast<uint64_t>(high - low + 1));
}

void Simulation::Expect(bool holds, std::string_view promise, std::string_view where) {
  if (holds) return;
  report_.violations.emplace_back(promise);
  if (!where.empty()) report_.violations.back().append(": ").append(where);
}

SimulationReport Simulation::Run() {
  for (int i = 0; i < kArrivalSteps && report_.violations.empty(); ++i) {
    for (double rate = arrival_rate_; rate > 0; rate -= 1) {
      if (Chance(std::min(rate, 1.0))) Arrive();
    }
    CancelSome();
    MoveClock();
    Step();
  }
  if (report_.violations.empty()) FinishAll();
  if (report_.violations.empty()) Judge();
  report_.preemptions = scheduler_.Stats().preemptions;
  report_.prefix_cache = scheduler_.Stats().prefix_cache;
  return std::move(report_);
}

void Simulation::Arrive() {
  RequestShape shape;
  shape.id = absl::StrCat("r", lives_.size());
  const bool is_long = Chance(long_rate_);
  shape.prompt =
      PromptOf(Between(1, is_long ? settings_.max_context_tokens + 2 : 12), Between(1, 500));
  shape.max_new_tokens = Chance(0.1) ? 0 : Between(1, is_long ? settings_.max_context_tokens : 20);
  // As chats do: with one of a few beginnings.
  if (shared_prefixes_) {
    for (size_t i = 0; i < shape.prompt.size() * 2 / 3; ++i) shape.prompt[i] = 600;
  }
  if (famine_) {
    shape.prompt = PromptOf(Between(1, 3), Between(1, 500));
    shape.max_new_tokens = Between(settings_.max_context_tokens / 2, settings_.max_context_tokens);
  }
  // As the service does: what is asked for fits the context.
  const int32_t room = settings_.max_context_tokens - static_cast<int32_t>(shape.prompt.size());
  if (room >= 0) shape.max_new_tokens = std::min(shape.max_new_tokens, room);
  shape.seed = random_();
  shape.cache_salt = absl::StrCat("salt", Between(0, 2));
  shape.may_stop = Chance(0.5);
  shape.prompt_scores = Chance(0.3);
  if (Chance(0.1)) shape.deadline = now_ + absl::Milliseconds(Between(-10, 400));

  Life life{RecordedRequest(shape)};
  const SchedulerStats before = scheduler_.Stats();
  const absl::Status status = scheduler_.Add(life.recorded.Copy(), now_);
  const absl::Status fits = scheduler_.CheckFits(shape.prompt.size(), shape.max_new_tokens);
  const bool line_full =
      before.waiting_requests - before.preempted_requests >= settings_.max_waiting_requests;
  Expect(status.ok() == (fits.ok() && !line_full), "exactly what fits is admitted",
         std::string(status.message()));
  if (!status.ok()) {
    ++report_.refused;
    return;
  }
  ++report_.requests;
  lives_.push_back(std::move(life));
}

void Simulation::CancelSome() {
  if (lives_.empty() || !Chance(cancel_rate_)) return;
  for (int i = Between(1, 6); i > 0; --i) {
    const size_t recent = std::min<size_t>(lives_.size(), 40);
    Life& life = lives_[lives_.size() - 1 - random_() % recent];
    const bool ended = life.recorded.sink->Ended();
    const bool found = scheduler_.Cancel(life.recorded.request.id, FinishReason::kCancelled, now_);
    Expect(found != ended, "cancel finds what has not ended", life.recorded.request.id);
    if (found) life.cancelled = true;
    Expect(life.recorded.sink->Ended(), "cancel ends at once", life.recorded.request.id);
  }
}

void Simulation::MoveClock() {
  now_ += absl::Milliseconds(Between(1, 20));
  if (Chance(0.01)) now_ += absl::Seconds(Between(-2, 2));  // A clock that was set.
}

void Simulation::Step() {
  const StepPlan plan = scheduler_.Plan(now_);
  scheduler_.CheckInvariants();
  ++report_.steps;
  latest_plan_ = std::max(latest_plan_, now_);
  const SchedulerStats stats = scheduler_.Stats();
  Expect(stats.running_sequences + stats.waiting_requests == 0 || !plan.rows.empty(),
         "a step computes something while something is held");
  for (const Life& life : lives_) {
    if (life.recorded.request.deadline > now_) continue;
    Expect(life.recorded.sink->Ended(), "a deadline ends its request in the next plan",
           life.recorded.request.id);
  }
  report_.plan_digest = report_.plan_digest * 31 + std::hash<std::string>()(PlanText(plan));

  faulty_step_ = !plan.rows.empty() && Chance(step_fault_rate_);
  executor_.step_fault = [this] {
    return faulty_step_ ? absl::InternalError("injected step fault") : absl::OkStatus();
  };
  executor_.row_fault = [this](const PlanRow&) {
    return Chance(row_fault_rate_) ? absl::InternalError("injected row fault") : absl::OkStatus();
  };
  StepResult result;
  const absl::Status status = executor_.Execute(plan, result);
  for (const std::string& violation : executor_.violations()) Expect(false, violation);
  if (Chance(0.05)) CancelSome();  // Between a plan and its commit.
  scheduler_.Commit(status, result, now_);
  scheduler_.CheckInvariants();
}

void Simulation::FinishAll() {
  // Sometimes the drain's grace period runs out.
  const int grace_steps = Chance(0.2) ? Between(0, 50) : -1;
  // The oldest advances by a token in every step, so this many steps are enough for all.
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
    MoveClock();
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
      Expect(life.recorded.request.deadline <= latest_plan_, "its deadline passed", id);
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
}

void Simulation::JudgeAnswer(const Life& life, const Heard& heard) {
  const Request& request = life.recorded.request;
  const FakeAnswer answer = OfflineAnswer(*request.prompt, *request.spec);
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
