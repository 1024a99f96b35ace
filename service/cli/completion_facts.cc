#include "service/cli/completion_facts.h"

#include "absl/strings/escaping.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "absl/time/time.h"
#include "scheduler/step_text.h"

namespace hocket {

std::string CompletionFacts(const GenerationSpec& spec, const CompletionResult& result) {
  return absl::StrFormat(
      "%d tokens in %.2f s (%.1f tokens/s), prompt %d tokens, first after %.0f ms; ended: %s; "
      "seed %d",
      result.tokens.size(), absl::ToDoubleSeconds(result.total), TokensPerSecond(result),
      result.finished.usage.prompt_tokens, absl::ToDoubleMilliseconds(result.first_token),
      FinishText(result.finished.finish), spec.sampling.seed);
}

std::string FinishText(const Finish& finish) {
  std::string text(FinishReasonName(finish.reason));
  if (finish.reason == FinishReason::kStopString) {
    absl::StrAppend(&text, " \"", absl::Utf8SafeCEscape(finish.stop_string), "\"");
  }
  return text;
}

double TokensPerSecond(const CompletionResult& result) {
  const double seconds = absl::ToDoubleSeconds(result.total);
  return seconds > 0 ? static_cast<double>(result.tokens.size()) / seconds : 0;
}

}  // namespace hocket
