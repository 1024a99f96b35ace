// Gathers a prompt's hidden states into one embedding while the prompt is computed in chunks. One
// per sequence, engine thread only. Positions are summed in order and in double precision, so the
// chunks do not change a bit of the result.
#ifndef HOCKET_RUNTIME_PROMPT_POOLING_H_
#define HOCKET_RUNTIME_PROMPT_POOLING_H_

#include <cstdint>
#include <span>
#include <vector>

#include "absl/status/statusor.h"
#include "runtime/generation_spec.h"

namespace hocket {

class PromptPooling {
 public:
  PromptPooling(EmbeddingPooling pooling, bool normalize, int32_t prompt_tokens);

  // Whether the hidden state at this position is still to be added. Positions that were added
  // before a preemption are not wanted again.
  bool Wants(int32_t position) const;

  // `hidden`: [hidden_size]. Wanted positions come in rising order.
  void Add(std::span<const float> hidden);

  // True once, when the prompt's last position was added.
  bool Ready() const;

  // The embedding, [hidden_size], of length 1 (L2) where asked. INTERNAL when it is not finite.
  absl::StatusOr<std::vector<float>> Take();

 private:
  EmbeddingPooling pooling_;
  bool normalize_;
  int32_t prompt_tokens_;
  int32_t next_position_;
  bool taken_ = false;
  std::vector<double> sum_;  // [hidden_size]
};

}  // namespace hocket

#endif  // HOCKET_RUNTIME_PROMPT_POOLING_H_
