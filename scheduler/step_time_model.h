// Predicts how long a step takes from what it computes, fitted online to the steps that were
// measured: seconds = base + a * decode rows + b * prefill tokens + c * positions read by decode
// rows + d * positions read by prefill tokens, every coefficient at least 0. The fit minimizes
// squared relative errors, with older steps weighing less; steps with and without prefill fade
// apart, so that an hour of decoding does not make it forget what prefill costs. Pure arithmetic:
// the same calls give the same predictions. Owned by the scheduler; engine thread only.
#ifndef HOCKET_SCHEDULER_STEP_TIME_MODEL_H_
#define HOCKET_SCHEDULER_STEP_TIME_MODEL_H_

#include <array>
#include <cstdint>

namespace hocket {

// What a step computes.
struct StepLoad {
  int32_t decode_rows = 0;
  int32_t prefill_tokens = 0;
  int64_t decode_positions = 0;   // Sum over decode rows of the positions that each attends to.
  int64_t prefill_positions = 0;  // The same over prefill tokens.

  // With `tokens` more prefill tokens from `first_position` on.
  StepLoad WithPrefill(int32_t first_position, int32_t tokens) const;
  bool empty() const { return decode_rows == 0 && prefill_tokens == 0; }
  bool operator==(const StepLoad&) const = default;
};

// A step that was measured.
struct MeasuredStep {
  StepLoad load;
  double seconds = 0;
};

class StepTimeModel {
 public:
  // Enough steps were measured to predict with.
  bool fitted() const { return samples_ >= kMinSamples; }

  double PredictSeconds(const StepLoad& load) const;

  // The most prefill tokens from `first_position` on that can join `load` with the predicted step
  // within `seconds`; 0 when not even one can. At most `limit`.
  int32_t PrefillTokensWithin(double seconds, const StepLoad& load, int32_t first_position,
                              int32_t limit) const;

  // A step was measured. Times that are not positive are ignored; one far from the prediction is
  // too (the machine was busy, the clock was set), unless several in a row are.
  void Learn(const StepLoad& load, double seconds);

 private:
  static constexpr int kTerms = 5;
  static constexpr int kMinSamples = 4;
  using Vector = std::array<double, kTerms>;

  // Normal equations of weighted least squares, over steps of one kind.
  struct Evidence {
    std::array<Vector, kTerms> products{};
    Vector targets{};
    void Add(const Vector& terms, double seconds);
  };

  static Vector TermsOf(const StepLoad& load);
  void Fit();

  Evidence decode_only_;
  Evidence with_prefill_;
  Vector coefficients_{};
  int samples_ = 0;
  int surprises_ = 0;  // In a row.
};

}  // namespace hocket

#endif  // HOCKET_SCHEDULER_STEP_TIME_MODEL_H_
