#include "tests/runtime/sampling/reference_chain.h"

#include <algorithm>
#include <cmath>
#include <limits>

#include "tests/runtime/sampling/reference_sampler.h"

namespace hocket {
namespace {

constexpr float kInfinity = std::numeric_limits<float>::infinity();
constexpr double kLargest = std::numeric_limits<float>::max();

float Rounded(float before, double after) {
  if (std::isinf(before)) return before;
  return static_cast<float>(std::clamp(after, -kLargest, kLargest));
}

bool Allows(std::span<const uint32_t> mask, size_t token) {
  return mask.empty() || (mask[token / 32] >> (token % 32) & 1) != 0;
}

// Renormalized over `kept`, by token.
std::vector<double> Over(const std::vector<double>& probabilities,
                         const std::vector<TokenId>& kept) {
  std::vector<double> result(probabilities.size(), 0.0);
  double sum = 0;
  for (const TokenId id : kept) sum += probabilities[id];
  for (const TokenId id : kept) result[id] = probabilities[id] / sum;
  return result;
}

// The first tokens of `order` whose probabilities reach p.
std::vector<TokenId> FirstReaching(const std::vector<TokenId>& order,
                                   const std::vector<double>& probabilities, double p) {
  double sum = 0;
  for (size_t i = 0; i < order.size(); ++i) {
    sum += probabilities[order[i]];
    if (sum >= p) return {order.begin(), order.begin() + i + 1};
  }
  return order;
}

std::vector<TokenId> AtLeast(const std::vector<TokenId>& order, const std::vector<float>& logits,
                             double bound) {
  std::vector<TokenId> kept;
  for (const TokenId id : order) {
    if (logits[id] >= bound) kept.push_back(id);
  }
  return kept;
}

double StandardDeviation(const std::vector<float>& logits) {
  double sum = 0;
  double count = 0;
  for (const float logit : logits) {
    if (std::isfinite(logit)) sum += logit, ++count;
  }
  const double mean = sum / count;
  double squares = 0;
  for (const float logit : logits) {
    if (std::isfinite(logit)) squares += (logit - mean) * (logit - mean);
  }
  return std::sqrt(squares / count);
}

std::vector<TokenId> Typical(const std::vector<TokenId>& kept, const std::vector<float>& logits,
                             const std::vector<double>& all, double p, bool& ambiguous) {
  const std::vector<double> probabilities = Over(all, kept);
  double entropy = 0;
  for (const TokenId id : kept) {
    if (probabilities[id] > 0) entropy -= probabilities[id] * std::log(probabilities[id]);
  }
  std::vector<double> distances(logits.size(), std::numeric_limits<double>::infinity());
  for (const TokenId id : kept) {
    if (probabilities[id] > 0) distances[id] = std::abs(-std::log(probabilities[id]) - entropy);
  }
  const auto distance = [&](TokenId id) { return distances[id]; };
  std::vector<TokenId> order = kept;
  std::sort(order.begin(), order.end(), [&](TokenId a, TokenId b) {
    // Equal logits are equally typical, whatever rounding says.
    if (logits[a] != logits[b] && distance(a) != distance(b)) return distance(a) < distance(b);
    return a < b;
  });
  const std::vector<TokenId> typical = FirstReaching(order, probabilities, p);
  const double edge = distance(typical.back());
  for (size_t i = 0; i < order.size(); ++i) {
    if (std::abs(distance(order[i]) - edge) < 1e-4 * (1 + edge) &&
        logits[order[i]] != logits[typical.back()]) {
      ambiguous = true;
    }
  }
  std::vector<bool> is_typical(logits.size());
  for (const TokenId id : typical) is_typical[id] = true;
  std::vector<TokenId> result;
  for (const TokenId id : kept) {
    if (is_typical[id]) result.push_back(id);
  }
  return result;
}

std::vector<TokenId> WithoutTopChoices(const std::vector<TokenId>& kept,
                                       const std::vector<double>& all, double threshold) {
  const std::vector<double> probabilities = Over(all, kept);
  size_t top_choices = 0;
  while (top_choices < kept.size() && probabilities[kept[top_choices]] >= threshold) ++top_choices;
  return {kept.begin() + (top_choices < 2 ? 0 : top_choices - 1), kept.end()};
}

// The filters with every threshold moved by `slack`, relative.
std::vector<TokenId> Filtered(const std::vector<float>& logits, const std::vector<double>& all,
                              const RowRequest& request, double slack, bool& ambiguous) {
  std::vector<TokenId> kept = FallingOrder(logits);
  const double max = logits[kept.front()];
  const auto bound = [&](double below) {
    if (std::isinf(max)) return max;
    return std::min(max, max - below + slack * (1 + std::abs(max) + below));
  };
  if (request.top_n_sigma > 0) {
    kept = AtLeast(kept, logits, bound(request.top_n_sigma * StandardDeviation(logits)));
  }
  if (request.top_k > 0 && static_cast<size_t>(request.top_k) < kept.size()) {
    kept.resize(request.top_k);
  }
  if (request.top_p < 1) {
    kept = FirstReaching(kept, Over(all, kept), request.top_p * (1 + slack) + slack);
  }
  if (request.min_p > 0) {
    kept = AtLeast(kept, logits,
                   bound(-request.temperature * std::log(static_cast<double>(request.min_p))));
  }
  if (request.typical_p < 1) {
    kept = Typical(kept, logits, all, request.typical_p * (1 + slack) + slack, ambiguous);
  }
  if (request.xtc_threshold > 0) {
    kept = WithoutTopChoices(kept, all, request.xtc_threshold * (1 + slack));
  }
  return kept;
}

}  // namespace

std::vector<float> EditedLogits(std::vector<float> logits, const RowRequest& request) {
  for (const TokenId id : request.masked) logits[id] = -kInfinity;
  if (request.edits == nullptr) return logits;
  const LogitEdits& edits = *request.edits;
  for (const TokenBias& bias : edits.bias) {
    logits[bias.token] = Rounded(logits[bias.token], double{logits[bias.token]} + bias.value);
  }
  for (const TokenId id : edits.banned) logits[id] = -kInfinity;
  for (const TokenId id : edits.ended) logits[id] = -kInfinity;
  for (const TokenCount& count : edits.counts) {
    float& logit = logits[count.token];
    if (count.seen > 0) {
      const double penalty = edits.repetition_penalty;
      logit = Rounded(logit, logit > 0 ? logit / penalty : logit * penalty);
    }
    if (count.generated > 0) {
      logit = Rounded(logit, double{logit} - edits.presence_penalty);
      const auto frequency = static_cast<float>(double{edits.frequency_penalty} * count.generated);
      logit = Rounded(logit, double{logit} - frequency);
    }
  }
  for (const TokenBias& repeat : edits.repeats) {
    logits[repeat.token] =
        Rounded(logits[repeat.token], double{logits[repeat.token]} - repeat.value);
  }
  for (size_t i = 0; i < logits.size(); ++i) {
    if (!Allows(edits.allowed, i) || !Allows(edits.constraint, i)) logits[i] = -kInfinity;
  }
  return logits;
}

ReferenceRow RunReference(const std::vector<float>& logits, const RowRequest& request) {
  ReferenceRow row;
  row.logits = EditedLogits(logits, request);
  const std::vector<double> all = Softmax(row.logits, request.temperature);
  row.kept = Filtered(row.logits, all, request, 0, row.ambiguous);
  for (const double slack : {-2e-6, 2e-6}) {
    if (Filtered(row.logits, all, request, slack, row.ambiguous) != row.kept) row.ambiguous = true;
  }
  row.probabilities = Over(all, row.kept);
  row.unfiltered = all;
  return row;
}

}  // namespace hocket
