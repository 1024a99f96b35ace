// How far one model's next-token distributions are from another's, over many positions: what a
// precision costs. Single-threaded.
#ifndef HOCKET_TESTS_BENCH_DISTRIBUTION_DISTANCE_H_
#define HOCKET_TESTS_BENCH_DISTRIBUTION_DISTANCE_H_

#include <cstdint>
#include <span>
#include <vector>

#include "scheduler/step.h"

namespace hocket {

// Logits [vocabulary] become natural log-probabilities, in place.
void LogSoftmax(std::span<float> logits);

class DistributionDistance {
 public:
  // One position: both sides' log-probabilities [vocabulary], and the token that followed.
  void Add(std::span<const float> reference, std::span<const float> candidate, TokenId next);

  int64_t positions() const { return static_cast<int64_t>(divergences_.size()); }
  // Kullback-Leibler divergence of the candidate from the reference, in nats: the mean, and the one
  // that `fraction` of the positions do not exceed.
  double MeanDivergence() const;
  double DivergenceQuantile(double fraction) const;
  // Share of positions at which both find the same token most likely (ties: the lowest id).
  double TopAgreement() const;
  // exp of the mean negative log-probability of the tokens that followed.
  double ReferencePerplexity() const;
  double CandidatePerplexity() const;

 private:
  std::vector<double> divergences_;
  int64_t agreements_ = 0;
  double reference_loss_ = 0;
  double candidate_loss_ = 0;
};

}  // namespace hocket

#endif  // HOCKET_TESTS_BENCH_DISTRIBUTION_DISTANCE_H_
