#include "fake_executor.h"

#include <algorithm>
#include <map>
#include <unordered_set>
#include <utility>

#include "absl/strings/str_cat.h"
#include "scheduler/step_text.h"

namespace hocket {
namespace {

constexpr uint64_t kGarbage = 1;

}  // namespace

FakeExecutor::FakeExecutor(const SchedulerSettings& settings)
    : settings_(settings),
      cells_(static_cast<size_t>(settings.total_blocks) * settings.block_tokens),
      table_uses_(settings.total_blocks) {}

void FakeExecutor::Meet(const Request& request) {
  kept_tokens_.erase(request.spec.get());
  if (request.roll_kept_tokens.has_value()) {
    kept_tokens_[request.spec.get()] = *request.roll_kept_tokens;
  }
}

void FakeExecutor::Expect(bool holds, const std::string& promise) {
  if (!holds) violations_.push_back(absl::StrCat(promise, " in ", PlanText(*plan_)));
}

absl::Status FakeExecutor::Execute(const StepPlan& plan, StepResult& result) {
  plan_ = &plan;
  result.outcomes.clear();
  Admit(plan);
  CheckShape(plan);
  if (!violations_.empty()) return absl::InternalError(violations_.front());
  const absl::Status fault = step_fault ? step_fault() : absl::OkStatus();
  // A step that fails may have got anywhere: before its copies, or amid its rows.
  if (!fault.ok() && plan.step % 2 == 0) return fault;
  CopyBlocks(plan);
  for (const PlanRow& row : plan.rows) WriteCells(plan, row);
  if (!fault.ok()) {
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
  SearchBeams(plan, result);
  return absl::OkStatus();
}

void FakeExecutor::Admit(const StepPlan& plan) {
  for (const SequenceId sequence : plan.ends) {
    Expect(sequences_.erase(sequence) == 1, "a sequence ends once, after its start");
  }
  for (const SequenceStart& start : plan.starts) {
    const auto [place, is_new] = sequences_.try_emplace(start.sequence);
    Expect(is_new, "a sequence starts once");
    FakeSequence& sequence = place->second;
    sequence.group = start.group;
    sequence.choice = start.choice_index;
    sequence.spec = start.spec;
    sequence.prompt = start.prompt;
    if (const auto kept = kept_tokens_.find(start.spec.get()); kept != kept_tokens_.end()) {
      sequence.beam.line.roll = {.context_tokens = settings_.max_context_tokens,
                                 .kept_tokens = kept->second};
    }
    for (const TokenId token : *start.prompt) sequence.beam.line.Append(token);
    if (start.resumed == nullptr) continue;
    for (const TokenId token : *start.resumed) {
      sequence.Take(token);
      if (sequence.held_text.size() >= kHeldLetters) sequence.held_text.clear();
    }
  }
}

void FakeExecutor::FakeSequence::Take(TokenId token) {
  beam.line.Append(token);
  ++generated;
  held_text.push_back(LetterOf(token));
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
  CheckCopies(plan);
  Expect(tokens == plan.tokens.size(), "every token has its row");
  Expect(table_entries == plan.blocks.size(), "every block has its row");
  if (!violations_.empty()) return;
  for (const PlanRow& row : plan.rows) {
    const auto found = sequences_.find(row.sequence);
    Expect(found != sequences_.end(), "a row's sequence was started");
    if (found == sequences_.end() || !CheckRow(plan, row, found->second)) return;
  }
}

void FakeExecutor::CheckCopies(const StepPlan& plan) {
  std::unordered_set<BlockId> targets;
  for (const BlockCopy& copy : plan.copies) {
    for (const BlockId block : {copy.source, copy.target}) {
      Expect(block >= 0 && block < settings_.total_blocks, "a copied block exists");
    }
    Expect(targets.insert(copy.target).second, "a block is the target of one copy");
  }
  for (const BlockCopy& copy : plan.copies) {
    Expect(!targets.contains(copy.source), "no copy's source is another's target");
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
  const FakeLine& line = sequence.beam.line;
  const int32_t count = row.token_count - row.draft_tokens;
  const int32_t end = row.first_position + count;
  const int32_t known = static_cast<int32_t>(line.tokens.size());
  Expect(count > 0 && row.first_position >= 0 && end <= known, "a row has known tokens");
  if (violations_.size() > before) return false;
  Expect(row.block_count == (row.first_position + row.token_count + settings_.block_tokens - 1) /
                                settings_.block_tokens,
         "a block table covers its row exactly");
  Expect(std::ranges::equal(plan.RowTokens(row).first(count),
                            std::span(line.tokens).subspan(row.first_position, count)),
         "a row's tokens are its sequence's");
  Expect(row.samples == (end == known && sequence.spec->stopping.max_new_tokens > 0),
         "the last known token samples, and no other");
  Expect(row.forgotten_tokens == line.forgotten, "what was forgotten is counted");
  Expect(row.draft_tokens == 0 || row.samples, "only a row that samples has drafts");
  Expect(row.first_position + row.token_count < settings_.max_context_tokens || !row.samples,
         "what is drawn has its place in the context");
  return violations_.size() == before;
}

FakeExecutor::Cell& FakeExecutor::CellAt(const StepPlan& plan, const PlanRow& row,
                                         int32_t position) {
  const size_t block = plan.RowBlocks(row)[position / settings_.block_tokens];
  return cells_[block * settings_.block_tokens + position % settings_.block_tokens];
}

void FakeExecutor::CopyBlocks(const StepPlan& plan) {
  for (const BlockCopy& copy : plan.copies) {
    ++copied_blocks_;
    std::copy_n(cells_.begin() + static_cast<ptrdiff_t>(copy.source) * settings_.block_tokens,
                settings_.block_tokens,
                cells_.begin() + static_cast<ptrdiff_t>(copy.target) * settings_.block_tokens);
  }
}

void FakeExecutor::WriteCells(const StepPlan& plan, const PlanRow& row) {
  computed_tokens_ += row.token_count;
  const std::vector<uint64_t>& chain = sequences_.at(row.sequence).beam.line.chain;
  Cell cell = row.first_position == 0 ? 0 : chain[row.first_position - 1];
  for (int32_t i = 0; i < row.token_count; ++i) {
    cell = ExtendChain(cell, plan.RowTokens(row)[i]);
    CellAt(plan, row, row.first_position + i) = cell;
  }
}

void FakeExecutor::ReadBack(const StepPlan& plan, const PlanRow& row,
                            const FakeSequence& sequence) {
  const int32_t end = row.first_position + row.token_count - row.draft_tokens;
  for (int32_t position = 0; position < end; ++position) {
    if (CellAt(plan, row, position) == sequence.beam.line.chain[position]) continue;
    Expect(false, absl::StrCat("position ", position, " of sequence ", row.sequence,
                               " holds what its tokens make"));
  }
}

Outcome FakeExecutor::Compute(const StepPlan& plan, const PlanRow& row, FakeSequence& sequence) {
  Outcome outcome;
  outcome.sequence = row.sequence;
  if (row_fault) outcome.status = row_fault(row);
  if (!outcome.status.ok()) return outcome;
  ReadBack(plan, row, sequence);
  const OutputSettings& output = sequence.spec->output;
  const int32_t prompt_tokens = static_cast<int32_t>(sequence.prompt->size());
  const int32_t end = row.first_position + row.token_count;
  if (output.prompt_logprobs) {
    for (int32_t position = std::max(row.first_position, 1);
         position < std::min(end, prompt_tokens); ++position) {
      TokenScore score;
      score.token = sequence.beam.line.tokens[position];
      score.logprob = static_cast<float>(-position);
      outcome.prompt_scores.push_back(score);
    }
  }
  if (output.embedding != EmbeddingPooling::kNone && end == prompt_tokens) {
    outcome.embedding = {static_cast<float>(sequence.beam.line.tokens[end - 1])};
  }
  if (row.samples && !sequence.searches()) Draw(plan, row, sequence, outcome);
  return outcome;
}

void FakeExecutor::Draw(const StepPlan& plan, const PlanRow& row, FakeSequence& sequence,
                        Outcome& outcome) {
  const std::span<const TokenId> drafts = plan.RowTokens(row).last(row.draft_tokens);
  int32_t position = row.first_position + row.token_count - row.draft_tokens - 1;
  for (size_t i = 0; i <= drafts.size() && !outcome.finish.has_value(); ++i, ++position) {
    const TokenId token =
        DrawToken(sequence.beam.line, CellAt(plan, row, position), *sequence.spec, sequence.choice);
    sequence.Take(token);
    outcome.tokens.push_back(token);
    if (const auto reason = FinishAfter(token, sequence.generated, *sequence.spec)) {
      outcome.finish = Finish();
      outcome.finish->reason = *reason;
      if (reason == FinishReason::kStopToken) outcome.finish->stop_token = token;
    }
    if (i < drafts.size() && drafts[i] != token) break;
  }
  if (sequence.held_text.size() >= kHeldLetters || outcome.finish.has_value()) {
    outcome.text = std::exchange(sequence.held_text, std::string());
  }
}

void FakeExecutor::SearchBeams(const StepPlan& plan, StepResult& result) {
  std::map<SequenceId, std::vector<size_t>> rows;  // By group.
  for (size_t i = 0; i < plan.rows.size(); ++i) {
    const FakeSequence& sequence = sequences_.at(plan.rows[i].sequence);
    if (plan.rows[i].samples && sequence.searches()) rows[sequence.group].push_back(i);
  }
  for (const auto& [group, members] : rows) SearchGroup(plan, members, result);
}

void FakeExecutor::SearchGroup(const StepPlan& plan, const std::vector<size_t>& rows,
                               StepResult& result) {
  std::vector<FakeBeam> beams;
  for (size_t i = 0; i < rows.size(); ++i) {
    const FakeSequence& sequence = sequences_.at(plan.rows[rows[i]].sequence);
    Expect(sequence.choice == static_cast<int32_t>(i), "beams step together and in order");
    Expect(
        sequence.beam.line.tokens.size() == sequences_.at(sequence.group).beam.line.tokens.size(),
        "beams are of one length");
    beams.push_back(sequence.beam);
  }
  const FakeSequence& first = sequences_.at(plan.rows[rows[0]].sequence);
  Expect(static_cast<int32_t>(rows.size()) == first.spec->beam->width, "all beams step together");
  if (!violations_.empty()) return;
  const FakeBeamStep step = ExpandBeams(beams, first.prompt->size(), *first.spec);
  for (size_t i = 0; i < rows.size(); ++i) {
    FakeSequence& sequence = sequences_.at(plan.rows[rows[i]].sequence);
    sequence.beam = beams[i];
    Outcome& outcome = result.outcomes[rows[i]];
    if (!outcome.status.ok()) continue;
    if (!step.finish.has_value()) {
      outcome.move = step.moves[i];
      continue;
    }
    outcome.finish = Finish();
    outcome.finish->reason = *step.finish;
    if (static_cast<int32_t>(i) >= sequence.spec->beam->returned) continue;
    const std::vector<TokenId>& tokens = beams[i].line.tokens;
    outcome.tokens.assign(tokens.begin() + static_cast<ptrdiff_t>(sequence.prompt->size()),
                          tokens.end());
    for (const TokenId token : outcome.tokens) outcome.text.push_back(LetterOf(token));
  }
}

}  // namespace hocket
