#include "service/cli/score_report.h"

#include <cmath>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "service/cli/columns.h"
#include "service/cli/result_json.h"

namespace hocket {
namespace {

using Json = nlohmann::ordered_json;

}  // namespace

void LikelihoodSum::Add(float logprob) {
  nll -= logprob;
  ++tokens;
}

double LikelihoodSum::Perplexity() const { return std::exp(MeanNll()); }

std::string ScoreJson(std::span<const TokenId> tokens, std::span<const TokenScore> scores) {
  Json json;
  json["tokens"] = tokens;
  json["logprobs"] = Json::array({nullptr});
  json["top"] = Json::array({Json::array()});
  for (const TokenScore& score : scores) {
    json["logprobs"].push_back(FloatJson(score.logprob));
    json["top"].push_back(TopJson(score.top));
  }
  return JsonLine(json);
}

std::string ScoreTable(std::span<const TokenId> tokens, std::span<const TokenScore> scores,
                       const std::function<std::string(TokenId)>& piece) {
  std::vector<std::vector<std::string>> rows = {
      {"position", "id", "piece", "logprob", "rank", "most likely"}};
  LikelihoodSum sum;
  for (size_t position = 0; position < tokens.size(); ++position) {
    std::vector<std::string> row = {absl::StrCat(position), absl::StrCat(tokens[position]),
                                    piece(tokens[position])};
    if (position == 0) {
      row.insert(row.end(), {"-", "-", ""});
    } else {
      const TokenScore& score = scores[position - 1];
      sum.Add(score.logprob);
      std::string likely;
      for (const TokenLogprob& entry : score.top) {
        absl::StrAppendFormat(&likely, "%s%s %.1f%%", likely.empty() ? "" : "  ",
                              piece(entry.token), 100 * std::exp(double{entry.logprob}));
      }
      row.insert(row.end(),
                 {absl::StrFormat("%.6f", score.logprob), absl::StrCat(score.rank), likely});
    }
    rows.push_back(std::move(row));
  }
  return absl::StrCat(LayoutTable(rows), LikelihoodText(sum), "\n");
}

std::string LikelihoodText(const LikelihoodSum& sum) {
  return absl::StrFormat(
      "%d tokens scored, mean log-probability %.6f (NLL %.6f nats, %.6f bits), perplexity %.4f",
      sum.tokens, sum.tokens > 0 ? -sum.MeanNll() : 0.0, sum.MeanNll(),
      sum.MeanNll() / std::log(2.0), sum.Perplexity());
}

std::string LikelihoodJson(const LikelihoodSum& sum, int64_t windows) {
  return JsonLine({{"tokens_scored", sum.tokens},
                   {"windows", windows},
                   {"mean_logprob", -sum.MeanNll()},
                   {"mean_nll", sum.MeanNll()},
                   {"perplexity", sum.Perplexity()}});
}

}  // namespace hocket
