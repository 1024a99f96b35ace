#include "fake_executor.h"

#include <algorithm>
#include <unordered_set>
#include <utility>

#include "absl/strings/str_cat.h"
#include "scheduler/step_text.h"

namespace hocket {
namespace {

constexpr TokenId kVocabulary = 997;
constexpr TokenId kStopTokenStride = 41;  // Every token that this divides ends the text.
constexpr uint64_t kEmptyChain = 0x9e3779b97f4a7c15u;
constexpr uint64_t kGarbage = 0;
constexpr size_t kHeldLetters = 3;

uint64_t Extend(uint64_t chain, TokenId token) {
  chain = (chain ^ static_cast<uint64_t>(token)) * 0xbf58476d1ce4e5b9u;
  return chain ^ (chain >> 29);
}

TokenId NextToken(uint64_t chain, uint64_t seed) {
  return static_cast<TokenId>(Extend(chain ^ seed, 0) % kVocabulary);
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
  uint64_t chain = kEmptyChain;
  for (const TokenId token : prompt) chain = Extend(chain, token);
  while (answer.tokens.size() < static_cast<size_t>(spec.stopping.max_new_tokens)) {
    const TokenId token = NextToken(chain, spec.sampling.seed);
    chain = Extend(chain, token);
    answer.tokens.push_back(token);
    answer.text.push_back(LetterOf(token));
    if (const auto reason = FinishAfter(token, answer.tokens.size(), spec)) {
      answer.reason = *reason;
      break;
    }
  }
  return answer;
}

FakeAnswer AnswerAfter(const FakeAnswer& whole, size_t resumed_tokens) {
  FakeAnswer rest = whole;
  rest.tokens.erase(rest.tokens.begin(), rest.tokens.begin() + resumed_tokens);
  // What was held back when the first run stopped comes from the second.
  rest.text.erase(0, resumed_tokens / kHeldLetters * kHeldLetters);
  return rest;
}

FakeExecutor::FakeExecutor(const SchedulerSettings& settings)
    : settings_(settings),
      cells_(static_cast<size_t>(settings.total_blocks) * settings.block_tokens),
      table_uses_(settings.total_blocks) {}

void FakeExecutor::Expect(bool holds, const std::string& promise) {
  if (!holds) violations_.push_back(absl::StrCat(promise, " in ", PlanText(*plan_)));
}

absl::Status FakeExecutor::Execute(const StepPlan& plan, StepResult& result) {
  plan_ = &plan;
  result.outcomes.clear();
  Admit(plan);
  CheckShape(plan);
  if (!violations_.empty()) return absl::InternalError(violations_.front());
  for (const PlanRow& row : plan.rows) WriteCells(plan, row);
  if (const absl::Status fault = step_fault ? step_fault() : absl::OkStatus(); !fault.ok()) {
    for (const PlanRow& row : plan.rows) {
      for (int32_t i = 0; i < row.token_count; ++i) {
        CellAt(plan, row, row.first_position + i) = kGarbage;
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
    const auto [place, is_new] = sequences_.try_emplace(start.sequence);
    Expect(is_new, "a sequence starts once");
    place->second.spec = start.spec;
    place->second.prompt = start.prompt;
    for (const TokenId token : *start.prompt) place->second.Append(token);
    if (start.resumed == nullptr) continue;
    for (const TokenId token : *start.resumed) {
      place->second.Append(token);
      place->second.held_text.push_back(LetterOf(token));
      if (place->second.held_text.size() >= kHeldLetters) place->second.held_text.clear();
    }
  }
}

void FakeExecutor::FakeSequence::Append(TokenId token) {
  chain.push_back(Extend(chain.empty() ? kEmptyChain : chain.back(), token));
  tokens.push_back(token);
}

void FakeExecutor::CheckShape(const StepPlan& plan) {
  Expect(plan.tokens.size() <= static_cast<size_t>(settings_.max_step_tokens),
         "the token budget is kept");
  Expect(plan.rows.size() <= static_cast<size_t>(settings_.max_running_sequences),
         "the running limit is kept");
  std::unordered_set<SequenceId> sequences;
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
      const bool exists = block >= 0 && block < settings_.total_blocks;
      Expect(exists, "a block exists");
      if (exists) ++table_uses_[block];
    }
  }
  CheckWrittenBlocks(plan);
  Expect(tokens == plan.tokens.size(), "every token has its row");
  Expect(table_entries == plan.blocks.size(), "every block has its row");
  if (!violations_.empty()) return;
  for (const PlanRow& row : plan.rows) {
    const auto found = sequences_.find(row.sequence);
    Expect(found != sequences_.end(), "a row's sequence was started");
    if (found == sequences_.end() || !CheckRow(plan, row, found->second)) return;
  }
}

void FakeExecutor::CheckWrittenBlocks(const StepPlan& plan) {
  for (const PlanRow& row : plan.rows) {
    for (int32_t i = row.first_position / settings_.block_tokens; i < row.block_count; ++i) {
      const BlockId block = plan.RowBlocks(row)[i];
      Expect(table_uses_[block] == 1, "a row writes only blocks that no other row has");
    }
  }
  for (const BlockId block : plan.blocks) table_uses_[block] = 0;
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
    CellAt(plan, row, position) = sequences_.at(row.sequence).chain[position];
  }
}

FakeExecutor::Cell FakeExecutor::ReadBack(const StepPlan& plan, const PlanRow& row,
                                          const FakeSequence& sequence) {
  Cell read = kEmptyChain;
  for (int32_t position = 0; position < row.first_position + row.token_count; ++position) {
    read = CellAt(plan, row, position);
    if (read == sequence.chain[position]) continue;
    Expect(false, absl::StrCat("position ", position, " of sequence ", row.sequence,
                               " holds what its tokens make"));
  }
  return read;
}

Outcome FakeExecutor::Compute(const StepPlan& plan, const PlanRow& row, FakeSequence& sequence) {
  Outcome outcome;
  outcome.sequence = row.sequence;
  if (row_fault) outcome.status = row_fault(row);
  if (!outcome.status.ok()) return outcome;
  const Cell read = ReadBack(plan, row, sequence);
  const OutputSettings& output = sequence.spec->output;
  const int32_t prompt_tokens = static_cast<int32_t>(sequence.prompt->size());
  const int32_t end = row.first_position + row.token_count;
  if (output.prompt_logprobs) {
    for (int32_t position = std::max(row.first_position, 1);
         position < std::min(end, prompt_tokens); ++position) {
      TokenScore score;
      score.token = sequence.tokens[position];
      score.logprob = static_cast<float>(-position);
      outcome.prompt_scores.push_back(score);
    }
  }
  if (output.embedding != EmbeddingPooling::kNone && end == prompt_tokens) {
    outcome.embedding = {static_cast<float>(sequence.tokens[end - 1])};
  }
  if (row.samples) Draw(read, sequence, outcome);
  return outcome;
}

void FakeExecutor::Draw(Cell read, FakeSequence& sequence, Outcome& outcome) {
  for (int32_t i = 0; i < draws_per_row && !outcome.finish.has_value(); ++i) {
    const TokenId token = NextToken(read, sequence.spec->sampling.seed);
    read = Extend(read, token);
    sequence.Append(token);
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
  if (sequence.held_text.size() >= kHeldLetters || outcome.finish.has_value()) {
    outcome.text = std::exchange(sequence.held_text, std::string());
  }
}

}  // namespace hocket
