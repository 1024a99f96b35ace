#include "tests/bench/distribution_distance.h"

#include <algorithm>
#include <cmath>

namespace hocket {

void LogSoftmax(std::span<float> logits) {
  const float largest = *std::max_element(logits.begin(), logits.end());
  double sum = 0;
  for (const float logit : logits) sum += std::exp(double{logit} - largest);
  const double shift = largest + std::log(sum);
  for (float& logit : logits) logit = static_cast<float>(logit - shift);
}

void DistributionDistance::Add(std::span<const float> reference, std::span<const float> candidate,
                               TokenId next) {
  double divergence = 0;
  for (size_t i = 0; i < reference.size(); ++i) {
    divergence += std::exp(double{reference[i]}) * (double{reference[i]} - candidate[i]);
  }
  divergences_.push_back(divergence);
  const auto top = [](std::span<const float> values) {
    return std::max_element(values.begin(), values.end()) - values.begin();
  };
  agreements_ += top(reference) == top(candidate) ? 1 : 0;
  reference_loss_ -= reference[next];
  candidate_loss_ -= candidate[next];
}

double DistributionDistance::MeanDivergence() const {
  double sum = 0;
  for (const double divergence : divergences_) sum += divergence;
  return divergences_.empty() ? 0 : sum / static_cast<double>(positions());
}

double DistributionDistance::DivergenceQuantile(double fraction) const {
  if (divergences_.empty()) return 0;
  std::vector<double> sorted = divergences_;
  std::sort(sorted.begin(), sorted.end());
  const auto rank = static_cast<int64_t>(std::ceil(fraction * static_cast<double>(positions())));
  return sorted[std::clamp<int64_t>(rank - 1, 0, positions() - 1)];
}

double DistributionDistance::TopAgreement() const {
  return static_cast<double>(agreements_) / static_cast<double>(std::max<int64_t>(1, positions()));
}

double DistributionDistance::ReferencePerplexity() const {
  return std::exp(reference_loss_ / static_cast<double>(std::max<int64_t>(1, positions())));
}

double DistributionDistance::CandidatePerplexity() const {
  return std::exp(candidate_loss_ / static_cast<double>(std::max<int64_t>(1, positions())));
}

}  // namespace hocket
