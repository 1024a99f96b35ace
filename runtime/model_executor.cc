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

absl::Status LogitsError(RowError error, SequenceId sequence, int32_t place) {
  const char* const problem =
      error == RowError::kNan ? "hold a NaN" : "leave no token that could be drawn";
  return absl::InternalError(
      absl::StrCat("sequence ", sequence, ": the logits for position ", place, " ", problem));
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
  for (const Sequence* row : beam_rows_) {  // Last, since it puts other states in place.
    if (row != nullptr && row->beam->joined()) row->beam->Advance();
  }
  return absl::OkStatus();
}

void ModelExecutor::StartAndEnd(const StepPlan& plan) {
  for (SequenceId sequence : plan.ends) sequences_.erase(sequence);
  std::erase_if(beams_, [](const auto& beam) { return beam.second.expired(); });
  for (const SequenceStart& start : plan.starts) {
    Sequence& sequence = sequences_[start.sequence];
    sequence.status = SequenceState::Check(start, info_.vocabulary_size);
    if (sequence.status.ok()) {
      sequence.state = std::make_unique<SequenceState>(start, tokenizer_, info_);
      if (start.spec->beam.has_value()) sequence.status = JoinBeam(start, sequence);
      if (sequence.status.ok() && start.resumed != nullptr) {
        sequence.status = sequence.state->Resume(*start.resumed);
      }
    }
  }
}

absl::Status ModelExecutor::JoinBeam(const SequenceStart& start, Sequence& sequence) {
  if (absl::Status status = BeamGroup::Check(start); !status.ok()) return status;
  if (sequence.state->EndsWithPrompt()) return absl::OkStatus();  // Nothing to search.
  std::weak_ptr<BeamGroup>& known = beams_[start.group];
  sequence.beam = known.lock();
  if (sequence.beam == nullptr) {
    sequence.beam = std::make_shared<BeamGroup>(start, *sequence.state);
    known = sequence.beam;
  }
  sequence.slot = start.choice_index;
  return absl::OkStatus();
}

void ModelExecutor::FindWantedOutputs(const StepPlan& plan, StepResult& result) {
  states_.assign(plan.rows.size(), nullptr);
  beam_rows_.assign(plan.rows.size(), nullptr);
  for (const auto& [group, beam] : beams_) {  // In case that the last step failed as a whole.
    if (const std::shared_ptr<BeamGroup> known = beam.lock()) known->Abandon();
  }
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
    if (row.samples && found->second.beam != nullptr) {
      beam_rows_[i] = &found->second;
      found->second.beam->Join(found->second.slot, found->second.state, outcome);
    }
    if (outcome.status.ok()) outcome.status = found->second.state->CheckRow(row);
    if (!outcome.status.ok()) continue;
    states_[i] = found->second.state.get();
    FindWantedOutputsOfRow(plan, i);
  }
}

void ModelExecutor::FindWantedOutputsOfRow(const StepPlan& plan, int32_t row_index) {
  const PlanRow& row = plan.rows[row_index];
  const std::span<const TokenId> tokens = plan.RowTokens(row);
  SequenceState& state = *states_[row_index];
  const int32_t last_known = row.token_count - 1 - row.draft_tokens;
  const Sequence* const beam = beam_rows_[row_index];
  const bool samples =
      row.samples && !state.EndsWithPrompt() && (beam == nullptr || beam->beam->Wants(beam->slot));
  const int32_t first_draw = samples ? last_known : row.token_count;
  // Tokens are forgotten when all of the prompt has been computed, and once is enough for it.
  const bool in_prompt = row.forgotten_tokens == 0;
  for (int32_t k = 0; k < row.token_count; ++k) {
    const int32_t position = row.first_position + k;
    const auto output = static_cast<int32_t>(outputs_.size());
    const bool draws = k >= first_draw;
    const bool wants_logits = draws || (in_prompt && state.ScoresAfter(position));
    const bool pools = in_prompt && state.pooling().Wants(position);
    if (wants_logits) {
      LogitsRow& wanted = logits_wanted_.emplace_back();
      wanted.output = output;
      wanted.row = row_index;
      wanted.place = row.forgotten_tokens + position + 1;
      wanted.draws = draws;
      wanted.due = k <= first_draw;
      if (draws && k + 1 < row.token_count) wanted.guess = tokens[k + 1];
    }
    if (pools) pooled_.emplace_back(row_index, output);
    if (wants_logits || pools) outputs_.push_back(row.token_begin + k);
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
    const absl::Status status =
        ComputeLogits(hidden, std::span(logits_wanted_).subspan(begin, count));
    if (!status.ok()) return status;
    result.timings.forward_seconds += stopwatch.Lap();
    // Once, and again for the rows whose draws are as guessed.
    while (SampleDue(begin, count, result)) {
    }
    stopwatch.Lap();
  }
  return absl::OkStatus();
}

// One call of the sampling stage, for the rows of these logits that are due; false when none was.
bool ModelExecutor::SampleDue(size_t begin, size_t count, StepResult& result) {
  Stopwatch stopwatch;
  due_.clear();
  for (size_t i = begin; i < begin + count; ++i) {
    if (logits_wanted_[i].due) due_.push_back(i);
  }
  ComputeMasks(result);
  if (due_.empty()) return false;

  sampling_rows_.Clear();
  for (const size_t i : due_) {
    const LogitsRow& wanted = logits_wanted_[i];
    SequenceState& state = *states_[wanted.row];
    SamplingRows::Row row =
        wanted.draws ? state.DrawRow(wanted.place) : state.ScoreRow(wanted.place);
    const Sequence* const beam = beam_rows_[wanted.row];
    if (wanted.draws && beam != nullptr) beam->beam->Ask(row);
    row.logits_row = static_cast<int32_t>(i - begin);
    sampling_rows_.Add(row);
  }
  stage_.Run(std::span(logits_).first(count * info_.vocabulary_size), sampling_rows_,
             decoder_->threads_in_use());
  result.timings.sample_seconds += stopwatch.Lap();

  for (size_t i = 0; i < due_.size(); ++i) {
    LogitsRow& wanted = logits_wanted_[due_[i]];
    wanted.due = false;
    const bool goes_on = TakeOutcome(wanted, static_cast<int32_t>(i), result.outcomes[wanted.row]);
    if (goes_on) logits_wanted_[due_[i] + 1].due = true;
  }
  result.timings.text_seconds += stopwatch.Lap();
  return true;
}

// What the grammars allow next, each by one thread: a mask takes as long as many rows' draws. Rows
// whose mask cannot be had are no longer due.
void ModelExecutor::ComputeMasks(StepResult& result) {
  constrained_.clear();
  for (const size_t i : due_) {
    const LogitsRow& wanted = logits_wanted_[i];
    if (wanted.draws && states_[wanted.row]->HasGrammar()) constrained_.push_back(i);
  }
  const auto count = static_cast<int32_t>(constrained_.size());
  if (count == 0) return;
  const int32_t threads = std::max(decoder_->threads_in_use(), 1);
#pragma omp parallel for schedule(dynamic, 1) num_threads(threads) if (count > 1)
  for (int32_t i = 0; i < count; ++i) {
    LogitsRow& wanted = logits_wanted_[constrained_[i]];
    const absl::Status status = states_[wanted.row]->ComputeMask();
    if (status.ok()) continue;
    wanted.due = false;
    Outcome& outcome = result.outcomes[wanted.row];
    if (outcome.tokens.empty()) outcome.status = status;  // Else the next step will meet it.
  }
  std::erase_if(due_, [&](size_t i) { return !logits_wanted_[i].due; });
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

// Whether the draw was as guessed, so that the next one may follow.
bool ModelExecutor::TakeOutcome(const LogitsRow& wanted, int32_t sampled_row, Outcome& outcome) {
  if (!outcome.status.ok()) return false;
  SequenceState& state = *states_[wanted.row];
  const RowResult& row = stage_.result(sampled_row);
  const Sequence* const beam = wanted.draws ? beam_rows_[wanted.row] : nullptr;
  if (beam != nullptr && row.error != RowError::kNan) {  // Without a token only this beam ends.
    beam->beam->Take(beam->slot, stage_.candidates(sampled_row), stage_.top(sampled_row));
    return false;
  }
  if (row.error != RowError::kNone) {
    // After other draws it is left to the next step, which will meet it: they are told first.
    if (outcome.tokens.empty()) {
      outcome.status = LogitsError(row.error, outcome.sequence, wanted.place);
    }
    return false;
  }
  if (!wanted.draws) {
    state.AddPromptScore(ScoreOf(row, stage_.top(sampled_row)));
    return false;
  }
  if (state.WantsScores()) outcome.scores.push_back(ScoreOf(row, stage_.top(sampled_row)));
  if (state.ExplainedCandidates() > 0) {
    outcome.explanations.push_back(
        stage_.Explain(logits_, sampling_rows_, sampled_row, state.ExplainedCandidates()));
  }
  outcome.status = state.Accept(row.token, row.logprob, outcome);
  return outcome.status.ok() && !outcome.finish.has_value() && wanted.guess == row.token;
}

}  // namespace hocket
