#include "fake_executor.h"

#include <algorithm>
#include <set>
#include <utility>

#include "absl/strings/str_cat.h"
#include "scheduler/step_text.h"

namespace hocket {
namespace {

constexpr TokenId kVocabulary = 997;
constexpr TokenId kStopTokenStride = 41;  // Every token that this divides ends the text.
constexpr TokenId kGarbage = -1;

TokenId NextToken(const std::vector<TokenId>& tokens, uint64_t seed) {
  uint64_t hash = seed ^ 0x9e3779b97f4a7c15u;
  for (const TokenId token : tokens) {
    hash = (hash ^ static_cast<uint64_t>(token)) * 0x100000001b3u;
    hash ^= hash >> 29;
  }
  return static_cast<TokenId>(hash % kVocabulary);
}

char LetterOf(TokenId token) { return static_cast<char>('a' + token % 26); }

std::optional<FinishReason> FinishAfter(TokenId token, size_t generated,
                                        const GenerationSpec& spec) {
  if (token % kStopTokenStride == 0 && !spec.stopping.ignore_eos) return FinishReason::kStopToken;
  if (generated >= static_cast<size_t>(spec.stopping.max_new_tokens)) return FinishReason::kLength;
  return std::nullopt;
}

}  // namespace

FakeAnswer OfflineAnswer(const std::vector<TokenId>& prompt, const GenerationSpec& spec) {
  FakeAnswer answer;
  std::vector<TokenId> tokens = prompt;
  while (answer.tokens.size() < static_cast<size_t>(spec.stopping.max_new_tokens)) {
    const TokenId token = NextToken(tokens, spec.sampling.seed);
    tokens.push_back(token);
    answer.tokens.push_back(token);
    answer.text.push_back(LetterOf(token));
    if (const auto reason = FinishAfter(token, answer.tokens.size(), spec)) {
      answer.reason = *reason;
      break;
    }
  }
  return answer;
}

FakeExecutor::FakeExecutor(const SchedulerSettings& settings)
    : settings_(settings),
      cells_(static_cast<size_t>(settings.total_blocks) * settings.block_tokens) {}

void FakeExecutor::Expect(bool holds, const std::string& promise) {
  if (!holds) violations_.push_back(absl::StrCat(promise, " in ", plan_text_));
}

absl::Status FakeExecutor::Execute(const StepPlan& plan, StepResult& result) {
  plan_text_ = PlanText(plan);
  result.outcomes.clear();
  Admit(plan);
  CheckShape(plan);
  if (!violations_.empty()) return absl::InternalError(violations_.front());
  for (const PlanRow& row : plan.rows) WriteCells(plan, row);
  if (const absl::Status fault = step_fault ? step_fault() : absl::OkStatus(); !fault.ok()) {
    for (const PlanRow& row : plan.rows) {
      for (int32_t i = 0; i < row.token_count; ++i) {
        CellAt(plan, row, row.first_position + i).token = kGarbage;
      }
    }
    return fault;
  }
  for (const PlanRow& row : plan.rows) {
    result.outcomes.push_back(Compute(plan, row, sequences_.at(row.sequence)));
  }
  return absl::OkStatus();
}

void FakeExecutor::Admit(const StepPlan& plan) {
  for (const SequenceId sequence : plan.ends) {
    Expect(sequences_.erase(sequence) == 1, "a sequence ends once, after its start");
  }
  for (const SequenceStart& start : plan.starts) {
    const bool is_new = sequences_
                            .emplace(start.sequence, FakeSequence{start.spec, start.prompt,
                                                                  *start.prompt, std::string()})
                            .second;
    Expect(is_new, "a sequence starts once");
  }
}

void FakeExecutor::CheckShape(const StepPlan& plan) {
  Expect(plan.tokens.size() <= static_cast<size_t>(settings_.max_step_tokens),
         "the token budget is kept");
  Expect(plan.rows.size() <= static_cast<size_t>(settings_.max_running_sequences),
         "the running limit is kept");
  std::set<SequenceId> sequences;
  std::set<BlockId> blocks;
  size_t tokens = 0;
  size_t table_entries = 0;
  for (const PlanRow& row : plan.rows) {
    Expect(sequences.insert(row.sequence).second, "a sequence has one row");
    Expect(row.token_begin == static_cast<int32_t>(tokens), "rows' tokens follow one another");
    Expect(row.block_begin == static_cast<int32_t>(table_entries), "rows' tables follow");
    tokens += row.token_count;
    table_entries += row.block_count;
    if (table_entries > plan.blocks.size()) break;
    for (const BlockId block : plan.RowBlocks(row)) {
      Expect(block >= 0 && block < settings_.total_blocks, "a block exists");
      Expect(blocks.insert(block).second, "no two rows share a block");
    }
  }
  Expect(tokens == plan.tokens.size(), "every token has its row");
  Expect(table_entries == plan.blocks.size(), "every block has its row");
  if (!violations_.empty()) return;
  for (const PlanRow& row : plan.rows) {
    const auto found = sequences_.find(row.sequence);
    Expect(found != sequences_.end(), "a row's sequence was started");
    if (found == sequences_.end() || !CheckRow(plan, row, found->second)) return;
  }
}

bool FakeExecutor::CheckRow(const StepPlan& plan, const PlanRow& row,
                            const FakeSequence& sequence) {
  const size_t before = violations_.size();
  const int32_t end = row.first_position + row.token_count;
  const int32_t known = static_cast<int32_t>(sequence.tokens.size());
  Expect(row.token_count > 0 && row.first_position >= 0 && end <= known, "a row has known tokens");
  if (violations_.size() > before) return false;
  Expect(row.block_count == (end + settings_.block_tokens - 1) / settings_.block_tokens,
         "a block table covers its row exactly");
  Expect(
      std::ranges::equal(plan.RowTokens(row),
                         std::span(sequence.tokens).subspan(row.first_position, row.token_count)),
      "a row's tokens are its sequence's");
  Expect(row.samples == (end == known && sequence.spec->stopping.max_new_tokens > 0),
         "the last known token samples, and no other");
  return violations_.size() == before;
}

FakeExecutor::Cell& FakeExecutor::CellAt(const StepPlan& plan, const PlanRow& row,
                                         int32_t position) {
  const size_t block = plan.RowBlocks(row)[position / settings_.block_tokens];
  return cells_[block * settings_.block_tokens + position % settings_.block_tokens];
}

void FakeExecutor::WriteCells(const StepPlan& plan, const PlanRow& row) {
  computed_tokens_ += row.token_count;
  for (int32_t i = 0; i < row.token_count; ++i) {
    const int32_t position = row.first_position + i;
    CellAt(plan, row, position) = {row.sequence, position, plan.RowTokens(row)[i]};
  }
}

std::vector<TokenId> FakeExecutor::ReadBack(const StepPlan& plan, const PlanRow& row,
                                            const FakeSequence& sequence) {
  std::vector<TokenId> read;
  for (int32_t position = 0; position < row.first_position + row.token_count; ++position) {
    const Cell& cell = CellAt(plan, row, position);
    Expect(
        cell == Cell{row.sequence, position, sequence.tokens[position]},
        absl::StrCat("position ", position, " holds what its sequence ", row.sequence, " wrote"));
    read.push_back(cell.token);
  }
  return read;
}

Outcome FakeExecutor::Compute(const StepPlan& plan, const PlanRow& row, FakeSequence& sequence) {
  Outcome outcome;
  outcome.sequence = row.sequence;
  if (row_fault) outcome.status = row_fault(row);
  if (!outcome.status.ok()) return outcome;
  std::vector<TokenId> read = ReadBack(plan, row, sequence);
  const OutputSettings& output = sequence.spec->output;
  const int32_t prompt_tokens = static_cast<int32_t>(sequence.prompt->size());
  const int32_t end = row.first_position + row.token_count;
  if (output.prompt_logprobs) {
    for (int32_t position = std::max(row.first_position, 1);
         position < std::min(end, prompt_tokens); ++position) {
      TokenScore score;
      score.token = read[position];
      score.logprob = static_cast<float>(-position);
      outcome.prompt_scores.push_back(score);
    }
  }
  if (output.embedding != EmbeddingPooling::kNone && end == prompt_tokens) {
    outcome.embedding = {static_cast<float>(read.back())};
  }
  if (row.samples) Draw(std::move(read), sequence, outcome);
  return outcome;
}

void FakeExecutor::Draw(std::vector<TokenId> read, FakeSequence& sequence, Outcome& outcome) {
  for (int32_t i = 0; i < draws_per_row && !outcome.finish.has_value(); ++i) {
    const TokenId token = NextToken(read, sequence.spec->sampling.seed);
    read.push_back(token);
    sequence.tokens.push_back(token);
    outcome.tokens.push_back(token);
    sequence.held_text.push_back(LetterOf(token));
    const size_t generated = sequence.tokens.size() - sequence.prompt->size();
    if (const auto reason = FinishAfter(token, generated, *sequence.spec)) {
      outcome.finish = Finish();
      outcome.finish->reason = *reason;
      if (reason == FinishReason::kStopToken) outcome.finish->stop_token = token;
    }
  }
  // Text is held back over steps, as a possible stop string would be, and flushed at the end.
  if (sequence.held_text.size() >= 3 || outcome.finish.has_value()) {
    outcome.text = std::exchange(sequence.held_text, std::string());
  }
}

}  // namespace hocket
