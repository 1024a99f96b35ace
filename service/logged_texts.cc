#include "service/logged_texts.h"

#include <algorithm>

namespace hocket {

void LoggedTexts::Add(const EventBatch& batch) {
  for (const ChoicePart& part : batch.choices) {
    const auto choice = static_cast<size_t>(part.choice_index);
    answers_.resize(std::max(answers_.size(), choice + 1));
    answers_[choice] += part.text;
  }
}

void LoggedTexts::Put(const AnswerContext& context, RequestRecord& record) const {
  record.answers = answers_;
  if (context.request.prompt == nullptr || context.text == nullptr) return;
  absl::StatusOr<std::string> prompt =
      context.text->Decode(*context.request.prompt, /*skip_special_tokens=*/false);
  if (prompt.ok()) record.prompt = *std::move(prompt);
}

}  // namespace hocket
