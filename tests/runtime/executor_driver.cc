#include "tests/runtime/executor_driver.h"

#include <algorithm>
#include <bit>
#include <utility>

#include "absl/strings/str_cat.h"

namespace hocket {
namespace {

constexpr int32_t kBlockTokens = 16;
constexpr int32_t kBlocksOfASequence = 32;

template <class T>
void Append(std::vector<T>& to, const std::vector<T>& from) {
  to.insert(to.end(), from.begin(), from.end());
}

void PrintScores(const std::vector<TokenScore>& scores, std::string& text) {
  for (const TokenScore& score : scores) {
    absl::StrAppend(&text, " ", score.token, ":", std::bit_cast<uint32_t>(score.logprob), "#",
                    score.rank);
    for (const TokenLogprob& top : score.top) {
      absl::StrAppend(&text, ",", top.token, ":", std::bit_cast<uint32_t>(top.logprob));
    }
  }
}

void PrintExplanations(const std::vector<Explanation>& explanations, std::string& text) {
  for (const Explanation& explanation : explanations) {
    absl::StrAppend(&text, "\nexplanation ", explanation.token, " of");
    for (const TokenId token : explanation.candidates) absl::StrAppend(&text, " ", token);
    for (const ExplainedStage& stage : explanation.stages) {
      absl::StrAppend(&text, "; ", stage.name, " ", stage.kept);
      for (const float probability : stage.probabilities) {
        absl::StrAppend(&text, " ", std::bit_cast<uint32_t>(probability));
      }
    }
  }
}

}  // namespace

std::string Answer::Text() const {
  std::string all;
  for (const std::string& text : texts) all += text;
  return all;
}

std::string Printed(const Answer& answer) {
  std::string text = absl::StrCat(answer.status.ToString(), "\ntokens");
  for (TokenId token : answer.tokens) absl::StrAppend(&text, " ", token);
  absl::StrAppend(&text, "\ntext ", answer.Text(), "\nscores");
  PrintScores(answer.scores, text);
  absl::StrAppend(&text, "\nprompt scores");
  PrintScores(answer.prompt_scores, text);
  absl::StrAppend(&text, "\nembedding");
  for (float value : answer.embedding) absl::StrAppend(&text, " ", std::bit_cast<uint32_t>(value));
  PrintExplanations(answer.explanations, text);
  if (answer.finish.has_value()) {
    absl::StrAppend(&text, "\nfinish ", static_cast<int>(answer.finish->reason), " ",
                    answer.finish->stop_string, " ", answer.finish->stop_token.value_or(-1));
    if (answer.finish->total_logprob.has_value()) {
      absl::StrAppend(&text, " ", std::bit_cast<uint64_t>(*answer.finish->total_logprob));
    }
  }
  return text;
}

DrivenSequence::DrivenSequence(SequenceId id, GenerationSpec spec, std::vector<TokenId> prompt,
                               int32_t choice_index)
    : id_(id), first_block_(static_cast<BlockId>(id) * 2 * kBlocksOfASequence), tokens_(prompt) {
  start_.sequence = id;
  start_.choice_index = choice_index;
  start_.spec = std::make_shared<const GenerationSpec>(std::move(spec));
  start_.prompt = std::make_shared<const std::vector<TokenId>>(std::move(prompt));
}

void DrivenSequence::RollAt(int32_t context_tokens, int32_t kept_tokens) {
  context_tokens_ = context_tokens;
  kept_tokens_ = kept_tokens;
}

void DrivenSequence::PlanRow(int32_t chunk, StepPlan& plan) {
  if (!std::exchange(started_, true)) plan.starts.push_back(start_);
  if (context_tokens_ > 0 && static_cast<int32_t>(tokens_.size()) > context_tokens_) {
    const int32_t forgets = (context_tokens_ - kept_tokens_) / 2;
    const auto oldest = tokens_.begin() + kept_tokens_;
    tokens_.erase(oldest, oldest + forgets);
    forgotten_ += forgets;
    computed_ = 0;
  }
  const auto size = static_cast<int32_t>(tokens_.size());
  hocket::PlanRow row;
  planned_ = std::min(chunk, size - computed_);
  row.sequence = id_;
  row.first_position = computed_;
  row.forgotten_tokens = forgotten_;
  row.samples = computed_ + planned_ == size && start_.spec->stopping.max_new_tokens > 0;
  std::vector<TokenId> guesses;
  if (row.samples && guesser_ != nullptr) guesses = guesser_(tokens_);
  if (context_tokens_ > 0) {
    guesses.resize(std::min<size_t>(guesses.size(), context_tokens_ - size));
  }
  row.draft_tokens = static_cast<int32_t>(guesses.size());
  row.token_count = planned_ + row.draft_tokens;
  row.token_begin = static_cast<int32_t>(plan.tokens.size());
  row.block_begin = static_cast<int32_t>(plan.blocks.size());
  row.block_count = (computed_ + row.token_count + kBlockTokens - 1) / kBlockTokens;
  for (int32_t i = 0; i < planned_; ++i) plan.tokens.push_back(tokens_[computed_ + i]);
  Append(plan.tokens, guesses);
  for (int32_t i = 0; i < row.block_count; ++i) plan.blocks.push_back(first_block_ + i);
  plan.rows.push_back(row);
}

void DrivenSequence::Commit(const Outcome& outcome) {
  if (outcome.sequence != id_) answer.status = absl::InternalError("another sequence's outcome");
  answer.status.Update(outcome.status);
  computed_ += planned_;
  // Of several tokens, all but the last had been guessed, and so are computed.
  if (!outcome.tokens.empty()) computed_ += static_cast<int32_t>(outcome.tokens.size()) - 1;
  Append(tokens_, outcome.tokens);
  Append(answer.tokens, outcome.tokens);
  Append(answer.scores, outcome.scores);
  Append(answer.prompt_scores, outcome.prompt_scores);
  Append(answer.explanations, outcome.explanations);
  Append(answer.embedding, outcome.embedding);
  answer.texts.push_back(outcome.text);
  if (outcome.finish.has_value()) answer.finish = outcome.finish;
}

void DrivenSequence::Preempt() {
  computed_ = 0;
  first_block_ += kBlocksOfASequence;
}

Answer RunAlone(Executor& executor, DrivenSequence& sequence, int32_t chunk,
                int32_t preempt_after) {
  DrivenSequence* one = &sequence;
  for (int32_t step = 0; !sequence.done(); ++step) {
    if (step == preempt_after) sequence.Preempt();
    StepPlan plan;
    sequence.PlanRow(chunk, plan);
    StepResult result;
    const absl::Status status = executor.Execute(plan, result);
    if (!status.ok()) {
      one->answer.status = status;
    } else {
      sequence.Commit(result.outcomes.at(0));
    }
  }
  return sequence.answer;
}

void RunTogether(Executor& executor, std::span<DrivenSequence*> sequences, int32_t chunk) {
  for (;;) {
    StepPlan plan;
    std::vector<DrivenSequence*> planned;
    for (DrivenSequence* sequence : sequences) {
      if (sequence->done()) continue;
      sequence->PlanRow(chunk, plan);
      planned.push_back(sequence);
    }
    if (planned.empty()) return;
    StepResult result;
    const absl::Status status = executor.Execute(plan, result);
    for (size_t i = 0; i < planned.size(); ++i) {
      if (status.ok()) {
        planned[i]->Commit(result.outcomes.at(i));
      } else {
        planned[i]->answer.status = status;
      }
    }
  }
}

}  // namespace hocket
