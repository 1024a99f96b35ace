#include "tests/runtime/beam_driver.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <bit>
#include <utility>

#include "absl/strings/str_cat.h"

namespace hocket {
namespace {

constexpr SequenceId kMaxWidth = 64;

}  // namespace

DrivenBeams::DrivenBeams(SequenceId group, const GenerationSpec& spec, std::vector<TokenId> prompt,
                         const Settings& settings)
    : answers(spec.beam->width), settings_(settings), lines_(spec.beam->width) {
  const auto shared_spec = std::make_shared<const GenerationSpec>(spec);
  const auto shared_prompt = std::make_shared<const std::vector<TokenId>>(std::move(prompt));
  for (size_t i = 0; i < lines_.size(); ++i) {
    Line& line = lines_[i];
    line.start.sequence = group * kMaxWidth + i;
    line.start.group = group;
    line.start.choice_index = static_cast<int32_t>(i);
    line.start.spec = shared_spec;
    line.start.prompt = shared_prompt;
    line.first_block =
        static_cast<BlockId>(group * kMaxWidth + i) * 2 * settings_.blocks_per_sequence;
    line.tokens = *shared_prompt;
  }
}

void DrivenBeams::PlanRows(StepPlan& plan) {
  if (!std::exchange(started_, true)) {
    for (const Line& line : lines_) plan.starts.push_back(line.start);
  }
  PlanCopies(plan);
  const bool all_sample = std::all_of(lines_.begin(), lines_.end(), [&](const Line& line) {
    return static_cast<int32_t>(line.tokens.size()) - line.computed <= settings_.chunk;
  });
  for (Line& line : lines_) PlanRow(line, all_sample, plan);
  sampled_ = all_sample;
}

void DrivenBeams::PlanRow(Line& line, bool all_sample, StepPlan& plan) {
  const auto missing = static_cast<int32_t>(line.tokens.size()) - line.computed;
  line.planned = all_sample ? missing : std::min(settings_.chunk, missing - 1);
  line.row = -1;
  if (line.planned == 0) return;
  line.row = static_cast<int32_t>(plan.rows.size());
  hocket::PlanRow row;
  row.sequence = line.start.sequence;
  row.first_position = line.computed;
  row.token_begin = static_cast<int32_t>(plan.tokens.size());
  row.token_count = line.planned;
  row.block_begin = static_cast<int32_t>(plan.blocks.size());
  row.block_count =
      (line.computed + line.planned + settings_.block_tokens - 1) / settings_.block_tokens;
  row.samples = all_sample;
  for (int32_t i = 0; i < line.planned; ++i) plan.tokens.push_back(line.tokens[line.computed + i]);
  for (int32_t i = 0; i < row.block_count; ++i) plan.blocks.push_back(line.first_block + i);
  ASSERT_LE(row.block_count, settings_.blocks_per_sequence);
  plan.rows.push_back(row);
}

void DrivenBeams::PlanCopies(StepPlan& plan) {
  for (Line& line : lines_) {
    const int32_t source = std::exchange(line.copied_from, -1);
    if (source < 0 || line.computed == 0) continue;
    for (int32_t i = 0; i * settings_.block_tokens < line.computed; ++i) {
      plan.copies.push_back({lines_[source].first_block + i, line.first_block + i});
    }
  }
}

void DrivenBeams::Commit(const std::vector<Outcome>& outcomes) {
  size_t finished = 0;
  size_t moved = 0;
  for (size_t i = 0; i < lines_.size(); ++i) {
    Line& line = lines_[i];
    if (line.row < 0) continue;
    const Outcome& outcome = outcomes.at(line.row);
    Answer& answer = answers[i];
    EXPECT_EQ(outcome.sequence, line.start.sequence);
    line.computed += line.planned;
    answer.status = outcome.status;
    answer.tokens = outcome.tokens;
    answer.scores = outcome.scores;
    answer.texts = {outcome.text};
    answer.finish = outcome.finish;
    for (const TokenScore& score : outcome.prompt_scores) answer.prompt_scores.push_back(score);
    done_ = done_ || !outcome.status.ok();
    finished += outcome.finish.has_value();
    moved += outcome.move.has_value();
    if (outcome.finish.has_value()) continue;
    EXPECT_TRUE(outcome.tokens.empty() && outcome.text.empty() && outcome.scores.empty())
        << "something was told before the end";
  }
  if (done_ || !sampled_) {
    EXPECT_EQ(moved + finished, 0u);
    return;
  }
  EXPECT_TRUE((moved == lines_.size() && finished == 0) ||
              (moved == 0 && finished == lines_.size()))
      << moved << " move and " << finished << " finish, of " << lines_.size();
  done_ = moved == 0;
  if (!done_) Move(outcomes);
}

void DrivenBeams::Move(const std::vector<Outcome>& outcomes) {
  ++moves_;
  std::vector<std::vector<TokenId>> before;
  for (const Line& line : lines_) before.push_back(line.tokens);
  for (size_t i = 0; i < lines_.size(); ++i) {
    Line& line = lines_[i];
    const BeamMove& move = *outcomes.at(line.row).move;
    line.tokens = before.at(move.parent);
    line.tokens.push_back(move.token);
    if (move.parent == static_cast<int32_t>(i)) continue;
    ++copies_;
    EXPECT_EQ(outcomes.at(lines_[move.parent].row).move->parent, move.parent)
        << "a beam that others come of has left its place";
    if (settings_.copies) {
      line.copied_from = move.parent;
      line.computed = lines_[move.parent].computed;
    } else {  // What its own blocks hold is right as far as its tokens were the same.
      const auto last = before[i].begin() + line.computed;
      line.computed = static_cast<int32_t>(
          std::mismatch(before[i].begin(), last, line.tokens.begin()).first - before[i].begin());
    }
  }
}

void DrivenBeams::Preempt() {
  for (Line& line : lines_) {
    line.computed = 0;
    line.copied_from = -1;
    line.first_block += settings_.blocks_per_sequence;
  }
}

void DrivenBeams::End(StepPlan& plan) const {
  for (const Line& line : lines_) plan.ends.push_back(line.start.sequence);
}

std::vector<Answer> RunBeams(Executor& executor, DrivenBeams& beams, int32_t preempt_after) {
  for (int32_t step = 0; !beams.done(); ++step) {
    if (step == preempt_after) beams.Preempt();
    StepPlan plan;
    beams.PlanRows(plan);
    StepResult result;
    const absl::Status status = executor.Execute(plan, result);
    EXPECT_TRUE(status.ok()) << status;
    if (!status.ok() || testing::Test::HasFatalFailure()) break;
    beams.Commit(result.outcomes);
  }
  StepPlan last;
  beams.End(last);
  StepResult nothing;
  EXPECT_TRUE(executor.Execute(last, nothing).ok());
  return beams.answers;
}

std::string Printed(const std::vector<Answer>& answers) {
  std::string text;
  for (const Answer& answer : answers) {
    absl::StrAppend(&text, Printed(answer), "\n");
    if (!answer.finish.has_value()) continue;
    absl::StrAppend(&text, "total ",
                    std::bit_cast<uint64_t>(answer.finish->total_logprob.value_or(1)), ", score ",
                    std::bit_cast<uint64_t>(answer.finish->score.value_or(1)), "\n");
  }
  return text;
}

}  // namespace hocket
