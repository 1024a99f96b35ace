// What `hocket score` prints: the log-probabilities of given tokens as JSON or as a table. Pure;
// any thread.
#ifndef HOCKET_SERVICE_CLI_SCORE_REPORT_H_
#define HOCKET_SERVICE_CLI_SCORE_REPORT_H_

#include <functional>
#include <optional>
#include <span>
#include <string>

#include "scheduler/step.h"

namespace hocket {

// Negative log-likelihood in nats, over the tokens that have a score.
struct LikelihoodSum {
  double nll = 0;
  int64_t tokens = 0;

  void Add(float logprob);
  double MeanNll() const { return tokens > 0 ? nll / static_cast<double>(tokens) : 0; }
  double Perplexity() const;
};

// {"tokens":[...],"logprobs":[null,...],"top":[[],...]} in one line: one entry per token, the first
// token's score being null. `scores` has one entry per token but the first.
std::string ScoreJson(std::span<const TokenId> tokens, std::span<const TokenScore> scores);

// A table of position, id, piece, log-probability, rank and the most likely tokens, and the mean
// under it. `piece` spells a token.
std::string ScoreTable(std::span<const TokenId> tokens, std::span<const TokenScore> scores,
                       const std::function<std::string(TokenId)>& piece);

// "12345 tokens, mean log-probability -1.234567, mean NLL 1.234567 nats (1.781 bits),
// perplexity 3.4".
std::string LikelihoodText(const LikelihoodSum& sum);
std::string LikelihoodJson(const LikelihoodSum& sum, int64_t windows);

}  // namespace hocket

#endif  // HOCKET_SERVICE_CLI_SCORE_REPORT_H_
