#include "service/cli/choices_text.h"

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "absl/time/time.h"
#include "service/cli/completion_facts.h"
#include "service/cli/explanation_text.h"

namespace hocket {

std::string ChoicesText(std::span<const CompletionResult> choices, const ModelText& text) {
  std::string out;
  for (size_t i = 0; i < choices.size(); ++i) {
    const CompletionResult& choice = choices[i];
    const Finish& finish = choice.finished.finish;
    absl::StrAppend(&out, i == 0 ? "" : "\n", "[", i, "] ");
    if (finish.score) absl::StrAppendFormat(&out, "score %.4f, ", *finish.score);
    absl::StrAppendFormat(&out, "%d tokens, %s\n", choice.tokens.size(), FinishText(finish));
    if (!choice.explanations.empty()) {
      absl::StrAppend(&out, ExplanationText(choice.explanations, text), "\n");
    }
    absl::StrAppend(&out, choice.text, "\n");
  }
  return out;
}

std::string ChoicesFacts(const GenerationSpec& spec, std::span<const CompletionResult> choices) {
  const CompletionResult& first = choices.front();
  const Usage& usage = first.finished.usage;
  const double seconds = absl::ToDoubleSeconds(first.total);
  return absl::StrFormat(
      "%d %s, %d tokens generated in %.2f s (%.1f tokens/s), prompt %d tokens, first after "
      "%.0f ms; seed %d",
      choices.size(), choices.size() == 1 ? "choice" : "choices", usage.generated_tokens, seconds,
      seconds > 0 ? static_cast<double>(usage.generated_tokens) / seconds : 0, usage.prompt_tokens,
      absl::ToDoubleMilliseconds(first.first_token), spec.sampling.seed);
}

}  // namespace hocket
