#include "tests/bench/distribution_distance.h"

#include <cmath>
#include <vector>

#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace hocket {
namespace {

std::vector<float> Logs(const std::vector<double>& probabilities) {
  std::vector<float> logs;
  for (const double probability : probabilities) {
    logs.push_back(static_cast<float>(std::log(probability)));
  }
  return logs;
}

TEST(LogSoftmax, MakesProbabilitiesThatSumToOne) {
  std::vector<float> logits = {100, 101, 99};
  LogSoftmax(logits);
  const double sum = std::exp(1.0) + 1 + std::exp(-1.0);
  EXPECT_NEAR(logits[0], std::log(1 / sum), 1e-6);
  EXPECT_NEAR(logits[1], std::log(std::exp(1.0) / sum), 1e-6);
  EXPECT_NEAR(logits[2], std::log(std::exp(-1.0) / sum), 1e-6);
}

TEST(DistributionDistance, IsNothingBetweenADistributionAndItself) {
  DistributionDistance distance;
  const std::vector<float> logs = Logs({0.5, 0.25, 0.25});
  distance.Add(logs, logs, 1);
  EXPECT_EQ(distance.MeanDivergence(), 0);
  EXPECT_EQ(distance.TopAgreement(), 1);
  EXPECT_NEAR(distance.ReferencePerplexity(), 4, 1e-5);
  EXPECT_NEAR(distance.CandidatePerplexity(), 4, 1e-5);
}

TEST(DistributionDistance, WeighsTheLogOfTheRatioByTheReference) {
  DistributionDistance distance;
  distance.Add(Logs({0.5, 0.25, 0.25}), Logs({0.25, 0.5, 0.25}), 0);
  EXPECT_NEAR(distance.MeanDivergence(), 0.5 * std::log(2.0) - 0.25 * std::log(2.0), 1e-6);
  EXPECT_EQ(distance.TopAgreement(), 0);
  EXPECT_NEAR(distance.CandidatePerplexity(), 4, 1e-5);
}

TEST(DistributionDistance, QuantileIsTheDivergenceThatSoManyPositionsDoNotExceed) {
  DistributionDistance distance;
  const std::vector<float> even = Logs({0.5, 0.5});
  for (int i = 0; i < 99; ++i) distance.Add(even, even, 0);
  distance.Add(even, Logs({0.25, 0.75}), 0);
  const double divergence = 0.5 * std::log(2.0) + 0.5 * std::log(2.0 / 3);
  EXPECT_EQ(distance.DivergenceQuantile(0.99), 0);
  EXPECT_NEAR(distance.DivergenceQuantile(1), divergence, 1e-6);
  EXPECT_NEAR(distance.MeanDivergence(), divergence / 100, 1e-7);
}

}  // namespace
}  // namespace hocket
