#include "scheduler/step_time_model.h"

#include <algorithm>
#include <cmath>

namespace hocket {
namespace {

constexpr double kFading = 0.97;  // Of evidence, with each step of its kind.
constexpr double kSurprise = 3;   // Times the prediction, or that fraction of it.
constexpr int kBelievedSurprises = 3;
constexpr double kMinSeconds = 1e-5;  // Below this, relative errors say nothing.
constexpr int kSweeps = 12;
// Holds each coefficient near its last value where the evidence says nothing of it.
constexpr double kInertia = 1e-6;

}  // namespace

StepLoad StepLoad::WithPrefill(int32_t first_position, int32_t tokens) const {
  StepLoad load = *this;
  load.prefill_tokens += tokens;
  // Token i of the chunk attends to first_position + i + 1 positions.
  load.prefill_positions +=
      int64_t{tokens} * first_position + int64_t{tokens} * (int64_t{tokens} + 1) / 2;
  return load;
}

StepTimeModel::Vector StepTimeModel::TermsOf(const StepLoad& load) {
  return {1, static_cast<double>(load.decode_rows), static_cast<double>(load.prefill_tokens),
          static_cast<double>(load.decode_positions), static_cast<double>(load.prefill_positions)};
}

double StepTimeModel::PredictSeconds(const StepLoad& load) const {
  const Vector terms = TermsOf(load);
  double seconds = 0;
  for (int i = 0; i < kTerms; ++i) seconds += coefficients_[i] * terms[i];
  return seconds;
}

int32_t StepTimeModel::PrefillTokensWithin(double seconds, const StepLoad& load,
                                           int32_t first_position, int32_t limit) const {
  const double slack = seconds - PredictSeconds(load);
  if (slack <= 0 || limit <= 0) return 0;
  // n tokens cost quadratic * n^2 + linear * n; the root in the form that stays exact when the
  // quadratic part vanishes.
  const double quadratic = coefficients_[4] / 2;
  const double linear = coefficients_[2] + coefficients_[4] * (first_position + 0.5);
  const double root = linear + std::sqrt(linear * linear + 4 * quadratic * slack);
  if (root <= 0) return limit;
  return static_cast<int32_t>(std::min<double>(limit, 2 * slack / root));
}

void StepTimeModel::Evidence::Add(const Vector& terms, double seconds) {
  const double weight = 1 / (seconds * seconds);
  for (int i = 0; i < kTerms; ++i) {
    for (int j = 0; j < kTerms; ++j) {
      products[i][j] = kFading * products[i][j] + weight * terms[i] * terms[j];
    }
    targets[i] = kFading * targets[i] + weight * terms[i] * seconds;
  }
}

void StepTimeModel::Learn(const StepLoad& load, double seconds) {
  if (load.empty() || !(seconds > 0)) return;
  seconds = std::max(seconds, kMinSeconds);
  const double predicted = PredictSeconds(load);
  const bool surprises =
      fitted() && (seconds > kSurprise * predicted || seconds * kSurprise < predicted);
  surprises_ = surprises ? surprises_ + 1 : 0;
  if (surprises && surprises_ < kBelievedSurprises) return;
  (load.prefill_tokens > 0 ? with_prefill_ : decode_only_).Add(TermsOf(load), seconds);
  samples_ = std::min(samples_ + 1, kMinSamples);
  Fit();
}

void StepTimeModel::Fit() {
  // Coordinate descent on the normal equations, each coefficient kept at 0 or above. It starts from
  // the last fit, so a few sweeps a step are enough.
  for (int sweep = 0; sweep < kSweeps; ++sweep) {
    for (int i = 0; i < kTerms; ++i) {
      const double own = decode_only_.products[i][i] + with_prefill_.products[i][i];
      if (own <= 0) continue;
      double rest = decode_only_.targets[i] + with_prefill_.targets[i];
      for (int j = 0; j < kTerms; ++j) {
        if (j == i) continue;
        rest -= (decode_only_.products[i][j] + with_prefill_.products[i][j]) * coefficients_[j];
      }
      const double inertia = kInertia * own;
      coefficients_[i] = std::max(0.0, (rest + inertia * coefficients_[i]) / (own + inertia));
    }
  }
}

}  // namespace hocket
