#include "service/step_probe.h"

#include <algorithm>
#include <memory>
#include <utility>

#include "absl/time/clock.h"
#include "runtime/generation_spec.h"

namespace hocket {
namespace {

constexpr int32_t kSequences = 8;
constexpr int32_t kPromptTokens = 16;
constexpr int32_t kLongPromptTokens = 192;
constexpr int kRepeats = 3;
// No engine ever counts as far.
constexpr SequenceId kFirstSequence = SequenceId{1} << 63;

class Prober {
 public:
  Prober(const SchedulerSettings& settings, Executor* executor)
      : settings_(settings), executor_(executor) {
    auto spec = std::make_shared<GenerationSpec>();
    spec->sampling.temperature = 0;
    spec->stopping.ignore_eos = true;
    spec->stopping.max_new_tokens = 1 << 20;
    spec_ = std::move(spec);
  }

  // The sequences that fit, each with blocks of its own for this many positions.
  int32_t Start(int32_t sequences, int32_t prompt_tokens);
  void AddRow(int32_t sequence, int32_t token_count);
  absl::Status Run(StepProbe* probe);
  void EndAll();

 private:
  void Clear() {
    const int64_t step = plan_.step;
    plan_ = StepPlan();
    plan_.step = step;
    load_ = StepLoad();
  }

  struct Sequence {
    std::vector<TokenId> tokens;
    int32_t computed = 0;
    std::vector<BlockId> blocks;
  };

  const SchedulerSettings settings_;
  Executor* const executor_;
  std::shared_ptr<const GenerationSpec> spec_;
  std::vector<Sequence> sequences_;
  BlockId next_block_ = 0;
  StepPlan plan_;
  StepLoad load_;
};

int32_t Prober::Start(int32_t sequences, int32_t prompt_tokens) {
  // Room for what is generated too.
  const int32_t positions = prompt_tokens + 2 * kRepeats + 2;
  const int32_t blocks = (positions + settings_.block_tokens - 1) / settings_.block_tokens;
  if (positions > settings_.max_context_tokens || prompt_tokens > settings_.max_step_tokens)
    return 0;
  int32_t started = 0;
  for (; started < sequences && next_block_ + blocks <= settings_.total_blocks; ++started) {
    Sequence& sequence = sequences_.emplace_back();
    sequence.tokens.assign(prompt_tokens, 0);
    for (int32_t i = 0; i < blocks; ++i) sequence.blocks.push_back(next_block_++);
    plan_.starts.push_back({.sequence = kFirstSequence + sequences_.size() - 1,
                            .group = kFirstSequence + sequences_.size() - 1,
                            .choice_index = 0,
                            .spec = spec_,
                            .prompt = std::make_shared<std::vector<TokenId>>(sequence.tokens),
                            .resumed = nullptr});
  }
  return started;
}

void Prober::AddRow(int32_t index, int32_t token_count) {
  Sequence& sequence = sequences_[index];
  const int32_t end = sequence.computed + token_count;
  const int32_t blocks = (end + settings_.block_tokens - 1) / settings_.block_tokens;
  plan_.rows.push_back({.sequence = kFirstSequence + static_cast<SequenceId>(index),
                        .first_position = sequence.computed,
                        .token_begin = static_cast<int32_t>(plan_.tokens.size()),
                        .token_count = token_count,
                        .block_begin = static_cast<int32_t>(plan_.blocks.size()),
                        .block_count = blocks,
                        .samples = end == static_cast<int32_t>(sequence.tokens.size())});
  plan_.tokens.insert(plan_.tokens.end(), sequence.tokens.begin() + sequence.computed,
                      sequence.tokens.begin() + end);
  plan_.blocks.insert(plan_.blocks.end(), sequence.blocks.begin(),
                      sequence.blocks.begin() + blocks);
  if (token_count == 1) {
    ++load_.decode_rows;
    load_.decode_positions += end;
  } else {
    load_ = load_.WithPrefill(sequence.computed, token_count);
  }
  sequence.computed = end;
}

absl::Status Prober::Run(StepProbe* probe) {
  ++plan_.step;
  StepResult result;
  const absl::Time begin = absl::Now();
  const absl::Status status = executor_->Execute(plan_, result);
  if (!status.ok()) return status;
  probe->steps.push_back({load_, absl::ToDoubleSeconds(absl::Now() - begin)});
  for (const Outcome& outcome : result.outcomes) {
    if (!outcome.status.ok()) return outcome.status;
    std::vector<TokenId>& tokens = sequences_[outcome.sequence - kFirstSequence].tokens;
    tokens.insert(tokens.end(), outcome.tokens.begin(), outcome.tokens.end());
  }
  Clear();
  return absl::OkStatus();
}

void Prober::EndAll() {
  Clear();
  ++plan_.step;
  for (size_t i = 0; i < sequences_.size(); ++i) plan_.ends.push_back(kFirstSequence + i);
  StepResult result;
  executor_->Execute(plan_, result).IgnoreError();
}

absl::Status Probe(Prober& prober, int32_t sequences, StepProbe* probe) {
  // The first touches all memory for the first time, and does not count.
  for (int32_t i = 0; i < sequences; ++i) prober.AddRow(i, kPromptTokens);
  if (absl::Status status = prober.Run(probe); !status.ok()) return status;
  probe->steps.clear();
  for (const int32_t rows : {1, sequences}) {
    for (int repeat = 0; repeat < kRepeats; ++repeat) {
      for (int32_t i = 0; i < rows; ++i) prober.AddRow(i, 1);
      if (absl::Status status = prober.Run(probe); !status.ok()) return status;
    }
  }
  if (prober.Start(1, kLongPromptTokens) == 0) return absl::OkStatus();
  prober.AddRow(sequences, kLongPromptTokens * 2 / 3);
  if (absl::Status status = prober.Run(probe); !status.ok()) return status;
  prober.AddRow(0, 1);
  prober.AddRow(sequences, kLongPromptTokens / 3);
  return prober.Run(probe);
}

}  // namespace

absl::StatusOr<StepProbe> ProbeSteps(const SchedulerSettings& settings, Executor* executor) {
  StepProbe probe;
  Prober prober(settings, executor);
  const int32_t sequences = prober.Start(std::min({kSequences, settings.max_running_sequences,
                                                   settings.max_step_tokens / kPromptTokens}),
                                         kPromptTokens);
  if (sequences == 0) return probe;  // Limits so small that nothing is to be learnt.
  const absl::Status status = Probe(prober, sequences, &probe);
  prober.EndAll();
  if (!status.ok()) return status;
  probe.decode_step = absl::InfiniteDuration();
  for (const MeasuredStep& step : probe.steps) {
    if (step.load.decode_rows != sequences || step.load.prefill_tokens > 0) continue;
    probe.decode_step = std::min(probe.decode_step, absl::Seconds(step.seconds));
  }
  return probe;
}

absl::Duration DefaultTarget(const StepProbe& probe) {
  if (probe.steps.empty()) return absl::ZeroDuration();
  return std::clamp(6 * probe.decode_step, absl::Milliseconds(60), absl::Seconds(1));
}

}  // namespace hocket
