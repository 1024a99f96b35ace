#include "service/cli/explanation_text.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <vector>

#include "absl/strings/escaping.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "service/cli/columns.h"

namespace hocket {
namespace {

// With the text before it, so that a tokenizer which drops a text's first space keeps this one.
std::string TokenText(const ModelText& text, TokenId token) {
  const std::array<TokenId, 2> twice = {token, token};
  const std::string one =
      text.Decode(std::span(twice).first(1), /*skip_special_tokens=*/false).value_or("");
  const std::string both = text.Decode(twice, /*skip_special_tokens=*/false).value_or("");
  return both.starts_with(one) ? both.substr(one.size()) : one;
}

std::string Percent(float probability) {
  return probability > 0 ? absl::StrFormat("%.2f", 100 * probability) : "-";
}

std::vector<std::vector<std::string>> Table(const Explanation& explanation, const ModelText& text) {
  std::vector<std::vector<std::string>> rows(1);
  rows[0].emplace_back("% after");
  for (const ExplainedStage& stage : explanation.stages) rows[0].push_back(stage.name);
  for (size_t i = 0; i < explanation.candidates.size(); ++i) {
    const TokenId token = explanation.candidates[i];
    std::vector<std::string>& row = rows.emplace_back();
    row.push_back(absl::StrCat(token == explanation.token ? "> " : "  ", QuotedToken(text, token)));
    for (const ExplainedStage& stage : explanation.stages) {
      row.push_back(Percent(stage.probabilities[i]));
    }
  }
  std::vector<std::string>& kept = rows.emplace_back();
  kept.emplace_back("  tokens left");
  for (const ExplainedStage& stage : explanation.stages) kept.push_back(absl::StrCat(stage.kept));
  return rows;
}

}  // namespace

std::string QuotedToken(const ModelText& text, TokenId token) {
  return absl::StrCat("\"", absl::Utf8SafeCEscape(TokenText(text, token)), "\"");
}

std::string ExplanationText(std::span<const Explanation> explanations, const ModelText& text) {
  std::string out;
  for (size_t i = 0; i < explanations.size(); ++i) {
    absl::StrAppend(&out, i > 0 ? "\n" : "", "token ", i + 1, ": ",
                    QuotedToken(text, explanations[i].token), "\n",
                    LayoutTable(Table(explanations[i], text)));
  }
  return out;
}

std::string ShadedText(std::span<const TokenScore> scores, const ModelText& text) {
  constexpr std::array<const char*, 5> kShades = {" ", "░", "▒", "▓", "█"};
  std::string out;
  for (const TokenScore& score : scores) {
    const double probability = std::exp(static_cast<double>(score.logprob));
    const int shade = std::clamp(static_cast<int>(std::ceil(probability * 5)) - 1, 0, 4);
    absl::StrAppend(&out, TokenText(text, score.token), kShades[shade]);
  }
  return out;
}

std::string NumberedText(std::span<const TokenScore> scores, const ModelText& text) {
  std::string out;
  for (const TokenScore& score : scores) {
    absl::StrAppendFormat(&out, "%5.1f%% %s\n", 100 * std::exp(static_cast<double>(score.logprob)),
                          QuotedToken(text, score.token));
  }
  return out;
}

}  // namespace hocket
