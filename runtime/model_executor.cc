#include "runtime/model_executor.h"

#include <algorithm>
#include <chrono>
#include <utility>

#include "absl/strings/str_cat.h"

namespace hocket {
namespace {

constexpr int64_t kLogitsBytes = int64_t{64} << 20;
constexpr int64_t kMinLogitsRows = 8;
constexpr int64_t kMaxLogitsRows = 128;

int32_t LogitsRows(int32_t vocabulary_size) {
  const int64_t fit = kLogitsBytes / (int64_t{4} * vocabulary_size);
  return static_cast<int32_t>(std::clamp(fit, kMinLogitsRows, kMaxLogitsRows));
}

class Stopwatch {
 public:
  // Seconds since the last call, or since this was made.
  double Lap() {
    const auto now = std::chrono::steady_clock::now();
    return std::chrono::duration<double>(now - std::exchange(start_, now)).count();
  }

 private:
  std::chrono::steady_clock::time_point start_ = std::chrono::steady_clock::now();
};

absl::Status LogitsError(RowError error, SequenceId sequence, int32_t position) {
  const char* const problem =
      error == RowError::kNan ? "hold a NaN" : "leave no token that could be drawn";
  return absl::InternalError(
      absl::StrCat("sequence ", sequence, ": the logits for position ", position, " ", problem));
}

TokenScore ScoreOf(const RowResult& result, std::span<const TokenLogprob> top) {
  return {result.token, result.logprob, result.rank, {top.begin(), top.end()}};
}

}  // namespace

ModelExecutor::ModelExecutor(Decoder* decoder, const Tokenizer* tokenizer, ModelInfo info)
    : decoder_(decoder),
      tokenizer_(tokenizer),
      info_(std::move(info)),
      logits_rows_(LogitsRows(info_.vocabulary_size)),
      stage_(info_.vocabulary_size, std::max(info_.threads, 1)) {}

absl::Status ModelExecutor::Execute(const StepPlan& plan, StepResult& result) {
  result = StepResult();
  result.outcomes.resize(plan.rows.size());
  Stopwatch stopwatch;
  StartAndEnd(plan);
  FindWantedOutputs(plan, result);
  result.timings.text_seconds += stopwatch.Lap();

  if (!plan.rows.empty()) {
    const absl::StatusOr<std::span<const float>> hidden = decoder_->Forward(plan, outputs_);
    if (!hidden.ok()) return hidden.status();
    Pool(plan, *hidden, result);
    result.timings.forward_seconds += stopwatch.Lap();
    const absl::Status status = Sample(*hidden, result);
    if (!status.ok()) return status;
  }

  for (size_t i = 0; i < plan.rows.size(); ++i) {
    Outcome& outcome = result.outcomes[i];
    if (states_[i] == nullptr || !outcome.status.ok()) continue;
    const PlanRow& row = plan.rows[i];
    const int32_t end = row.first_position + row.token_count;
    outcome.prompt_scores = states_[i]->TakePromptScores(end);
    if (states_[i]->EndsWithPrompt() && end == states_[i]->prompt_tokens()) {
      outcome.finish = Finish{.reason = FinishReason::kLength, .stop_string = {}, .stop_token = {}};
    }
  }
  return absl::OkStatus();
}

void ModelExecutor::StartAndEnd(const StepPlan& plan) {
  for (SequenceId sequence : plan.ends) sequences_.erase(sequence);
  for (const SequenceStart& start : plan.starts) {
    Sequence& sequence = sequences_[start.sequence];
    sequence.status = SequenceState::Check(start, info_.vocabulary_size);
    if (sequence.status.ok()) {
      sequence.state = std::make_unique<SequenceState>(start, tokenizer_, info_);
      if (start.resumed != nullptr) sequence.status = sequence.state->Resume(*start.resumed);
    }
  }
}

void ModelExecutor::FindWantedOutputs(const StepPlan& plan, StepResult& result) {
  states_.assign(plan.rows.size(), nullptr);
  outputs_.clear();
  logits_wanted_.clear();
  pooled_.clear();
  for (int32_t i = 0; i < static_cast<int32_t>(plan.rows.size()); ++i) {
    const PlanRow& row = plan.rows[i];
    Outcome& outcome = result.outcomes[i];
    outcome.sequence = row.sequence;
    const auto found = sequences_.find(row.sequence);
    if (found == sequences_.end()) {
      outcome.status = absl::FailedPreconditionError(
          absl::StrCat("sequence ", row.sequence, " was never started"));
      continue;
    }
    outcome.status = found->second.status;
    if (outcome.status.ok()) outcome.status = found->second.state->CheckRow(row);
    if (!outcome.status.ok()) continue;
    SequenceState& state = *found->second.state;
    states_[i] = &state;

    const bool draws = row.samples && !state.EndsWithPrompt();
    for (int32_t k = 0; k < row.token_count; ++k) {
      const int32_t position = row.first_position + k;
      const int32_t output = static_cast<int32_t>(outputs_.size());
      const bool draws_here = draws && k + 1 == row.token_count;
      const bool wants_logits = draws_here || state.ScoresAfter(position);
      const bool pools = state.pooling().Wants(position);
      if (wants_logits) logits_wanted_.push_back({output, i, position + 1, draws_here});
      if (pools) pooled_.emplace_back(i, output);
      if (wants_logits || pools) outputs_.push_back(row.token_begin + k);
    }
  }
}

void ModelExecutor::Pool(const StepPlan& plan, std::span<const float> hidden, StepResult& result) {
  if (pooled_.empty()) return;
  for (const auto& [row, output] : pooled_) {
    states_[row]->pooling().Add(
        hidden.subspan(static_cast<size_t>(output) * info_.hidden_size, info_.hidden_size));
  }
  for (size_t i = 0; i < plan.rows.size(); ++i) {
    if (states_[i] == nullptr || !states_[i]->pooling().Ready()) continue;
    absl::StatusOr<std::vector<float>> embedding = states_[i]->pooling().Take();
    if (embedding.ok()) {
      result.outcomes[i].embedding = *std::move(embedding);
    } else {
      result.outcomes[i].status = absl::Status(
          embedding.status().code(),
          absl::StrCat("sequence ", plan.rows[i].sequence, ": ", embedding.status().message()));
    }
  }
}

absl::Status ModelExecutor::Sample(std::span<const float> hidden, StepResult& result) {
  Stopwatch stopwatch;
  for (size_t begin = 0; begin < logits_wanted_.size(); begin += logits_rows_) {
    const size_t count = std::min<size_t>(logits_rows_, logits_wanted_.size() - begin);
    const std::span<const LogitsRow> wanted = std::span(logits_wanted_).subspan(begin, count);
    const absl::Status status = ComputeLogits(hidden, wanted);
    if (!status.ok()) return status;
    result.timings.forward_seconds += stopwatch.Lap();

    ComputeMasks(wanted, result);
    sampling_rows_.Clear();
    for (const LogitsRow& row : wanted) {
      SequenceState& state = *states_[row.row];
      sampling_rows_.Add(row.draws ? state.DrawRow(row.position) : state.ScoreRow(row.position));
    }
    stage_.Run(std::span(logits_).first(count * info_.vocabulary_size), sampling_rows_,
               decoder_->threads_in_use());
    result.timings.sample_seconds += stopwatch.Lap();

    for (size_t i = 0; i < count; ++i) {
      TakeOutcome(wanted[i], static_cast<int32_t>(i), result.outcomes[wanted[i].row]);
    }
    result.timings.text_seconds += stopwatch.Lap();
  }
  return absl::OkStatus();
}

// What the grammars allow next, each by one thread: a mask takes as long as many rows' draws.
void ModelExecutor::ComputeMasks(std::span<const LogitsRow> wanted, StepResult& result) {
  constrained_.clear();
  for (const LogitsRow& row : wanted) {
    if (row.draws && states_[row.row]->HasGrammar()) constrained_.push_back(row.row);
  }
  const auto count = static_cast<int32_t>(constrained_.size());
  const int32_t threads = std::max(decoder_->threads_in_use(), 1);
#pragma omp parallel for schedule(dynamic, 1) num_threads(threads) if (count > 1)
  for (int32_t i = 0; i < count; ++i) {
    const absl::Status status = states_[constrained_[i]]->ComputeMask();
    if (!status.ok()) result.outcomes[constrained_[i]].status = status;
  }
}

absl::Status ModelExecutor::ComputeLogits(std::span<const float> hidden,
                                          std::span<const LogitsRow> wanted) {
  const size_t hidden_size = info_.hidden_size;
  if (gathered_.size() < wanted.size() * hidden_size) {
    gathered_.resize(wanted.size() * hidden_size);
    logits_.resize(wanted.size() * info_.vocabulary_size);
  }
  for (size_t i = 0; i < wanted.size(); ++i) {
    std::copy_n(hidden.begin() + wanted[i].output * hidden_size, hidden_size,
                gathered_.begin() + i * hidden_size);
  }
  return decoder_->Logits(std::span(gathered_).first(wanted.size() * hidden_size),
                          static_cast<int32_t>(wanted.size()),
                          std::span(logits_).first(wanted.size() * info_.vocabulary_size));
}

void ModelExecutor::TakeOutcome(const LogitsRow& wanted, int32_t sampled_row, Outcome& outcome) {
  if (!outcome.status.ok()) return;
  SequenceState& state = *states_[wanted.row];
  const RowResult& row = stage_.result(sampled_row);
  if (row.error != RowError::kNone) {
    outcome.status = LogitsError(row.error, outcome.sequence, wanted.position);
    return;
  }
  if (!wanted.draws) {
    state.AddPromptScore(ScoreOf(row, stage_.top(sampled_row)));
    return;
  }
  if (state.WantsScores()) outcome.scores.push_back(ScoreOf(row, stage_.top(sampled_row)));
  if (state.ExplainedCandidates() > 0) {
    outcome.explanations.push_back(
        stage_.Explain(logits_, sampling_rows_, sampled_row, state.ExplainedCandidates()));
  }
  outcome.status = state.Accept(row.token, outcome);
}

}  // namespace hocket
