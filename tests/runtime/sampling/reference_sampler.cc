#include "tests/runtime/sampling/reference_sampler.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <numeric>

namespace hocket {

constexpr float kInfinity = std::numeric_limits<float>::infinity();

std::vector<TokenId> FallingOrder(const std::vector<float>& logits) {
  std::vector<TokenId> order(logits.size());
  std::iota(order.begin(), order.end(), 0);
  std::stable_sort(order.begin(), order.end(),
                   [&](TokenId a, TokenId b) { return logits[a] > logits[b]; });
  return order;
}

std::vector<double> Softmax(const std::vector<float>& logits, double temperature) {
  const double max = *std::max_element(logits.begin(), logits.end());
  std::vector<double> probabilities(logits.size());
  double sum = 0;
  for (size_t i = 0; i < logits.size(); ++i) {
    probabilities[i] = logits[i] == max ? 1 : std::exp((logits[i] - max) / temperature);
    sum += probabilities[i];
  }
  for (double& p : probabilities) p /= sum;
  return probabilities;
}

size_t KeptCount(const std::vector<double>& probabilities, const std::vector<TokenId>& order,
                 const RowRequest& request, double slack) {
  size_t kept = order.size();
  if (request.top_k > 0) kept = std::min<size_t>(kept, request.top_k);
  if (request.top_p >= 1) return kept;
  double all = 0;
  for (size_t i = 0; i < kept; ++i) all += probabilities[order[i]];
  double sum = 0;
  for (size_t i = 0; i < kept; ++i) {
    sum += probabilities[order[i]];
    if (sum >= (request.top_p + slack) * all) return i + 1;
  }
  return kept;
}

std::vector<double> Renormalized(const std::vector<double>& probabilities,
                                 const std::vector<TokenId>& order, size_t kept) {
  std::vector<double> result(probabilities.size(), 0.0);
  double sum = 0;
  for (size_t i = 0; i < kept; ++i) sum += probabilities[order[i]];
  for (size_t i = 0; i < kept; ++i) result[order[i]] = probabilities[order[i]] / sum;
  return result;
}

bool DrawnBy(const std::vector<double>& probabilities, TokenId token, uint64_t random,
             double tolerance) {
  if (probabilities[token] <= 0) return false;
  const double target = std::ldexp(static_cast<double>(random), -64);
  double before = 0;
  for (TokenId i = 0; i < token; ++i) before += probabilities[i];
  return target >= before - tolerance && target <= before + probabilities[token] + tolerance;
}

std::vector<float> RandomLogits(std::mt19937_64& random, size_t vocabulary, std::string* kind) {
  std::vector<float> logits(vocabulary);
  std::normal_distribution<float> normal(0, 2);
  const auto fill = [&](auto value) { std::generate(logits.begin(), logits.end(), value); };
  switch (random() % 8) {
    case 0:
      *kind = "normal";
      fill([&] { return normal(random); });
      break;
    case 1:
      *kind = "ties";
      fill([&] { return static_cast<float>(random() % 5) - 2; });
      break;
    case 2:
      *kind = "one-hot";
      fill([] { return -kInfinity; });
      logits[random() % vocabulary] = 3;
      break;
    case 3:
      *kind = "uniform";
      fill([] { return -1.25f; });
      break;
    case 4:
      *kind = "infinities";
      fill([&] { return random() % 4 == 0 ? -kInfinity : normal(random); });
      logits[random() % vocabulary] = random() % 2 == 0 ? kInfinity : 1;
      logits[random() % vocabulary] = random() % 2 == 0 ? kInfinity : 1;
      break;
    case 5:
      *kind = "wide";
      fill([&] { return normal(random) * 1e37f; });
      break;
    case 6:
      *kind = "peaked";
      fill([&] { return normal(random); });
      logits[random() % vocabulary] = 14;
      break;
    default:
      *kind = "signed zeros";
      fill([&] { return random() % 2 == 0 ? 0.0f : -0.0f; });
      break;
  }
  return logits;
}

}  // namespace hocket
