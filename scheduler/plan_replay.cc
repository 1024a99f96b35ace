// The trace's reader: see plan_trace.cc for its lines.
#include <algorithm>
#include <cmath>
#include <limits>
#include <memory>
#include <optional>
#include <sstream>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "scheduler/plan_digest.h"
#include "scheduler/plan_trace.h"

namespace hocket {
namespace {

// Prompts and steps longer than this are no trace of ours.
constexpr int64_t kMaxCount = 1 << 26;
// Nor are schedulers larger than this, which would take gigabytes to set up.
constexpr int32_t kMaxBlocks = 1 << 24;
constexpr int32_t kMaxRunningSequences = 1 << 16;
constexpr int32_t kMaxDraftTokens = 1 << 16;
constexpr int32_t kLastReason = static_cast<int32_t>(FinishReason::kRepetition);

class SilentSink final : public Sink {
 public:
  void OnStarted(const StartedEvent&) override {}
  void OnOutcome(Outcome) override {}
  void OnFinished(const FinishedEvent&) override {}
};

class Replay {
 public:
  // False when the line makes no sense.
  bool Obey(const std::string& line);

  const ReplayReport& report() const { return report_; }

 private:
  bool Begin();
  bool Measure();
  bool Add();
  bool Cancel();
  bool EndAll();
  bool Plan();
  bool Commit();

  bool Read(int64_t& value) { return static_cast<bool>(words_ >> value); }
  bool Read(int32_t& value) { return static_cast<bool>(words_ >> value); }
  bool Read(double& value) { return static_cast<bool>(words_ >> value); }
  bool Read(absl::Time& time);
  bool Read(FinishReason& reason);
  bool ReadTokens(std::vector<TokenId>& tokens);

  std::istringstream words_;
  SchedulerSettings settings_;
  std::optional<Scheduler> scheduler_;
  const StepPlan* plan_ = nullptr;  // That waits for its commit.
  ReplayReport report_;
};

bool Replay::Read(absl::Time& time) {
  std::string word;
  if (!(words_ >> word)) return false;
  if (word == "inf") {
    time = absl::InfiniteFuture();
    return true;
  }
  int64_t nanoseconds = 0;
  std::istringstream number(word);
  if (!(number >> nanoseconds)) return false;
  time = absl::FromUnixNanos(nanoseconds);
  return true;
}

bool Replay::Read(FinishReason& reason) {
  int32_t number = 0;
  if (!Read(number) || number < 0 || number > kLastReason) return false;
  reason = static_cast<FinishReason>(number);
  return true;
}

bool Replay::ReadTokens(std::vector<TokenId>& tokens) {
  int64_t count = 0;
  if (!Read(count) || count < 0 || count > kMaxCount) return false;
  for (; count > 0; --count) {
    if (!Read(tokens.emplace_back())) return false;
  }
  return true;
}

bool Replay::Obey(const std::string& line) {
  words_ = std::istringstream(line);
  std::string kind;
  words_ >> kind;
  if (kind == "hocket-trace") return Begin();
  if (kind == "M") return Measure();
  if (settings_.total_blocks == 0) return false;  // Before its first line.
  if (!scheduler_.has_value()) {
    if (!settings_.Validate().ok()) return false;
    scheduler_.emplace(settings_);
  }
  if (kind == "A") return Add();
  if (kind == "C") return Cancel();
  if (kind == "E") return EndAll();
  if (kind == "P") return Plan();
  return kind == "R" && Commit();
}

bool Replay::Begin() {
  int32_t version = 0;
  int32_t cache = 0;
  int64_t target = 0;
  const bool whole = Read(version) && Read(settings_.total_blocks) &&
                     Read(settings_.block_tokens) && Read(settings_.max_running_sequences) &&
                     Read(settings_.max_step_tokens) && Read(settings_.max_context_tokens) &&
                     Read(cache) && Read(target);
  settings_.prefix_cache = cache != 0;
  settings_.target_inter_token = absl::Nanoseconds(target);
  return whole && version == 2 && !scheduler_.has_value() && settings_.total_blocks <= kMaxBlocks &&
         settings_.max_running_sequences <= kMaxRunningSequences;
}

bool Replay::Measure() {
  MeasuredStep step;
  if (!Read(step.load.decode_rows) || !Read(step.load.prefill_tokens) ||
      !Read(step.load.decode_positions) || !Read(step.load.prefill_positions) ||
      !Read(step.seconds)) {
    return false;
  }
  settings_.measured_steps.push_back(step);
  return !scheduler_.has_value();
}

bool Replay::Add() {
  absl::Time now;
  Request request;
  int32_t beam = 0;
  int32_t kept = 0;
  int32_t priority = 0;
  int32_t whole = 0;
  int64_t tenant = 0;
  int64_t salt = 0;
  auto prompt = std::make_shared<std::vector<TokenId>>();
  auto resumed = std::make_shared<std::vector<TokenId>>();
  if (!Read(now) || !Read(request.deadline) || !Read(request.max_new_tokens) ||
      !Read(request.choices) || !Read(beam) || !Read(kept) || !Read(request.max_draft_tokens) ||
      !Read(priority) || !Read(whole) || !Read(request.tenant_weight) || !Read(tenant) ||
      !Read(salt) || !ReadTokens(*prompt) || !ReadTokens(*resumed) || priority < 0 ||
      priority >= kPriorityClasses) {
    return false;
  }
  // What the scheduler takes for granted of a request that was validated.
  const bool rolls = kept >= 0;
  const bool plain = !rolls && request.max_draft_tokens == 0 && resumed->empty();
  const bool weighed = request.tenant_weight > 0 && std::isfinite(request.tenant_weight);
  const bool guesses = request.max_draft_tokens >= 0 && request.max_draft_tokens <= kMaxDraftTokens;
  if (!weighed || !guesses || (beam != 0 && !plain) ||
      (request.choices != 1 && !resumed->empty()) || kept > settings_.max_context_tokens - 2) {
    return false;
  }
  request.id = absl::StrCat(++report_.requests);
  request.beam = beam != 0;
  if (rolls) request.roll_kept_tokens = kept;
  request.prompt = std::move(prompt);
  request.resumed = std::move(resumed);
  request.priority = static_cast<PriorityClass>(priority);
  request.needs_whole_prompt = whole != 0;
  request.tenant = absl::StrCat(tenant);
  request.cache_salt = absl::StrCat(salt);
  request.sink = std::make_shared<SilentSink>();
  return scheduler_->Add(std::move(request), now).ok();
}

bool Replay::Cancel() {
  absl::Time now;
  int64_t number = 0;
  FinishReason reason = FinishReason::kCancelled;
  if (!Read(now) || !Read(number) || !Read(reason)) return false;
  scheduler_->Cancel(absl::StrCat(number), reason, now);
  return true;
}

bool Replay::EndAll() {
  absl::Time now;
  FinishReason reason = FinishReason::kShutdown;
  if (!Read(now) || !Read(reason)) return false;
  scheduler_->EndAll(reason, now);
  return true;
}

bool Replay::Plan() {
  absl::Time now;
  std::string digest;
  if (plan_ != nullptr || !Read(now) || !(words_ >> digest)) return false;
  plan_ = &scheduler_->Plan(now);
  ++report_.plans;
  if (absl::StrCat(PlanDigest(*plan_)) == digest) return true;
  std::string recorded;
  std::getline(words_ >> std::ws, recorded);
  report_.difference =
      absl::StrCat("recorded ", recorded, "\nreplayed ", PlanSummary(*plan_), "\n");
  return true;
}

bool Replay::Commit() {
  absl::Time now;
  int64_t executed = 0;
  int32_t ok = 0;
  int64_t count = 0;
  if (plan_ == nullptr || !Read(now) || !Read(executed) || !Read(ok) || !Read(count) || count < 0 ||
      count > kMaxCount) {
    return false;
  }
  StepResult result;
  for (int64_t i = 0; i < count; ++i) {
    Outcome& outcome = result.outcomes.emplace_back();
    int32_t row_ok = 0;
    int32_t finish = 0;
    BeamMove move;
    if (!Read(row_ok) || !Read(finish) || !Read(move.parent) || !Read(move.token) ||
        !ReadTokens(outcome.tokens) || finish > kLastReason) {
      return false;
    }
    if (move.parent >= 0) outcome.move = move;
    if (i < static_cast<int64_t>(plan_->rows.size())) outcome.sequence = plan_->rows[i].sequence;
    if (row_ok == 0) outcome.status = absl::InternalError("recorded as failed");
    if (finish >= 0) outcome.finish.emplace().reason = static_cast<FinishReason>(finish);
  }
  plan_ = nullptr;
  scheduler_->Commit(ok != 0 ? absl::OkStatus() : absl::InternalError("recorded as failed"), result,
                     now, absl::Nanoseconds(executed));
  return true;
}

}  // namespace

absl::StatusOr<ReplayReport> ReplayPlans(std::istream& in) {
  Replay replay;
  std::string line;
  for (int64_t number = 1; std::getline(in, line); ++number) {
    if (!replay.Obey(line)) {
      return absl::InvalidArgumentError(
          absl::StrCat("line ", number, " is not of a trace: ", line.substr(0, 80)));
    }
    if (!replay.report().difference.empty()) break;
  }
  return replay.report();
}

}  // namespace hocket
