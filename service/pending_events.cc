#include "service/pending_events.h"

#include <algorithm>
#include <iterator>
#include <limits>
#include <utility>

namespace hocket {
namespace {

template <typename T>
void Append(std::vector<T>& to, std::vector<T>&& from) {
  if (to.empty()) {
    to = std::move(from);
    return;
  }
  to.insert(to.end(), std::make_move_iterator(from.begin()), std::make_move_iterator(from.end()));
}

// The mean log-probability of its tokens; of a text of none, which nothing speaks against, 0.
std::optional<double> ScoreOf(const Outcome& choice) {
  if (!choice.finish || !choice.finish->total_logprob) return std::nullopt;
  return choice.tokens.empty()
             ? 0
             : *choice.finish->total_logprob / static_cast<double>(choice.tokens.size());
}

// The best `count`, in falling order and numbered so.
std::vector<Outcome> BestOf(std::vector<Outcome> choices, int32_t count) {
  for (Outcome& choice : choices) {
    if (choice.finish) choice.finish->score = ScoreOf(choice);
  }
  const auto score = [](const Outcome& choice) {
    constexpr double kLowest = -std::numeric_limits<double>::infinity();
    return choice.finish ? choice.finish->score.value_or(kLowest) : kLowest;
  };
  std::stable_sort(choices.begin(), choices.end(), [&](const Outcome& a, const Outcome& b) {
    if (a.finish.has_value() != b.finish.has_value()) return a.finish.has_value();
    return score(a) > score(b);
  });
  if (choices.size() > static_cast<size_t>(count)) choices.resize(count);
  for (size_t i = 0; i < choices.size(); ++i) choices[i].choice_index = static_cast<int32_t>(i);
  return choices;
}

}  // namespace

bool EventBatch::empty() const {
  return !started && !ends() && prompt_scores.empty() && embedding.empty() && choices.empty();
}

const Outcome* EventBatch::Choice(int32_t index) const {
  const auto found = std::ranges::find(choices, index, &Outcome::choice_index);
  return found == choices.end() ? nullptr : &*found;
}

void PendingEvents::Expect(int32_t choices, bool ranked) {
  choices_ = choices;
  ranked_ = ranked;
}

Outcome& PendingEvents::ChoiceOf(int32_t index) {
  std::vector<Outcome>& choices = batch_.choices;
  auto at = std::ranges::lower_bound(choices, index, {}, &Outcome::choice_index);
  if (at == choices.end() || at->choice_index != index) {
    at = choices.emplace(at);
    at->choice_index = index;
  }
  return *at;
}

void PendingEvents::Add(Outcome outcome) {
  Append(batch_.prompt_scores, std::move(outcome.prompt_scores));
  Append(batch_.embedding, std::move(outcome.embedding));
  // Beam search has more sequences than answers; its first are the best.
  if (!ranked_ && outcome.choice_index >= choices_) return;
  if (outcome.tokens.empty() && outcome.text.empty() && !outcome.finish) return;
  Outcome& choice = ChoiceOf(outcome.choice_index);
  Append(choice.tokens, std::move(outcome.tokens));
  Append(choice.scores, std::move(outcome.scores));
  Append(choice.explanations, std::move(outcome.explanations));
  choice.text += outcome.text;
  if (outcome.finish) choice.finish = std::move(outcome.finish);
}

bool PendingEvents::empty() const {
  if (!HoldsChoices()) return batch_.empty();
  return !batch_.started && batch_.prompt_scores.empty() && batch_.embedding.empty();
}

EventBatch PendingEvents::Take() {
  const bool holds = HoldsChoices();
  EventBatch batch = std::exchange(batch_, EventBatch{});
  if (holds) batch_.choices.swap(batch.choices);
  if (ranked_ && !holds) batch.choices = BestOf(std::move(batch.choices), choices_);
  return batch;
}

}  // namespace hocket
