#include "service/pending_events.h"

#include <iterator>
#include <utility>
#include <vector>

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

}  // namespace

bool EventBatch::empty() const {
  return !started && !ends() && output.tokens.empty() && output.text.empty() &&
         output.prompt_scores.empty() && output.embedding.empty();
}

void PendingEvents::Add(Outcome outcome) {
  Outcome& merged = batch_.output;
  Append(merged.tokens, std::move(outcome.tokens));
  Append(merged.scores, std::move(outcome.scores));
  Append(merged.prompt_scores, std::move(outcome.prompt_scores));
  Append(merged.embedding, std::move(outcome.embedding));
  merged.text += outcome.text;
}

EventBatch PendingEvents::Take() { return std::exchange(batch_, EventBatch{}); }

}  // namespace hocket
