// Explanations of drawn tokens as tables for a terminal: how likely the likeliest tokens were after
// each part of the sampling chain. Pure; any thread.
#ifndef HOCKET_SERVICE_CLI_EXPLANATION_TEXT_H_
#define HOCKET_SERVICE_CLI_EXPLANATION_TEXT_H_

#include <span>
#include <string>

#include "scheduler/step.h"
#include "service/model_text.h"

namespace hocket {

// A token's text in quotes, with what a terminal would not show escaped.
std::string QuotedToken(const ModelText& text, TokenId token);

// One table per token: a row for each candidate, a column for each part of the chain, and how many
// tokens each part left. The drawn token is marked.
std::string ExplanationText(std::span<const Explanation> explanations, const ModelText& text);

// A text with, after each token, a block that is the fuller the likelier the token was: one of
// " ░▒▓█" for up to 20, 40, 60, 80 and 100 %.
std::string ShadedText(std::span<const TokenScore> scores, const ModelText& text);

// A line for each token: its probability and its text.
std::string NumberedText(std::span<const TokenScore> scores, const ModelText& text);

}  // namespace hocket

#endif  // HOCKET_SERVICE_CLI_EXPLANATION_TEXT_H_
