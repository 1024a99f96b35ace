// Several answers to one prompt, for people. Pure; any thread.
#ifndef HOCKET_SERVICE_CLI_CHOICES_TEXT_H_
#define HOCKET_SERVICE_CLI_CHOICES_TEXT_H_

#include <span>
#include <string>

#include "runtime/generation_spec.h"
#include "service/cli/local_model.h"
#include "service/model_text.h"

namespace hocket {

// Each with a line above it, "[0] score -0.8123, 64 tokens, length", the score where they are
// ranked, and explanations where there are any.
std::string ChoicesText(std::span<const CompletionResult> choices, const ModelText& text);

// As CompletionFacts, of all together.
std::string ChoicesFacts(const GenerationSpec& spec, std::span<const CompletionResult> choices);

}  // namespace hocket

#endif  // HOCKET_SERVICE_CLI_CHOICES_TEXT_H_
