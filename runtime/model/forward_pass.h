// One step through the decoder: embeds the plan's tokens, runs every layer and the head. Owns the
// step's scratch, allocated once; borrows weights and KV storage. Called by the engine thread, it
// spreads its work over the OpenMP team.
#ifndef HOCKET_RUNTIME_MODEL_FORWARD_PASS_H_
#define HOCKET_RUNTIME_MODEL_FORWARD_PASS_H_

#include <cstdint>
#include <span>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "runtime/kernels/aligned_buffer.h"
#include "runtime/kernels/attention.h"
#include "runtime/model/architecture_spec.h"
#include "runtime/model/kv_cache.h"
#include "runtime/model/weights.h"
#include "scheduler/step.h"

namespace hocket {

struct ForwardSettings {
  int32_t threads = 1;
  int32_t max_step_tokens = 0;
  int32_t max_head_rows = 0;
};

// T is the type of weights, activations and KV storage: float or Bf16. The residual stream, sums,
// scores and logits are f32.
template <class T>
class ForwardPass {
 public:
  // spec, weights and cache outlive it.
  static absl::StatusOr<ForwardPass> Create(const ArchitectureSpec& spec,
                                            const ModelWeights<T>& weights, KvCache<T>& cache,
                                            const ForwardSettings& settings);

  // The plan has been checked. Returns normed hidden states [outputs.size(), hidden].
  absl::StatusOr<std::span<const float>> Run(const StepPlan& plan,
                                             std::span<const int32_t> outputs);

  // hidden [rows, hidden] to logits [rows, vocabulary], in groups of max_head_rows.
  absl::Status Logits(std::span<const float> hidden, int32_t rows, std::span<float> logits);

 private:
  // Where a token's key and value go.
  struct Place {
    int32_t position;
    int32_t block;
    int32_t slot;
  };

  absl::Status AllocateScratch();
  void LayOut(const StepPlan& plan);
  void Embed(const StepPlan& plan);
  absl::Status RunLayer(int32_t index, int32_t tokens);
  void Normalize(const std::vector<float>& scale, const float* delta,
                 const std::vector<float>& delta_bias, int32_t tokens);
  void StoreKeysAndValues(int32_t layer, int32_t tokens);
  void Attention(int32_t layer);
  void Activate(const LayerWeights<T>& layer, int32_t tokens);
  absl::Status HeadGroup(const float* hidden, int32_t rows, float* logits);

  const ArchitectureSpec* spec_ = nullptr;
  const ModelWeights<T>* weights_ = nullptr;
  KvCache<T>* cache_ = nullptr;
  ForwardSettings settings_;
  std::vector<float> frequencies_;  // [head_dim / 2]

  // The step's layout, made anew by each.
  std::vector<Place> places_;         // [tokens]
  std::vector<AttentionTile> tiles_;  // Cover all tokens.

  // Scratch. Rows are max_step_tokens padded for the products.
  AlignedBuffer residual_;     // f32 [rows][hidden]
  AlignedBuffer normed_;       // T [rows][hidden]
  AlignedBuffer qkv_;          // f32 [rows][(heads + 2 * kv_heads) * head_dim]
  AlignedBuffer attended_;     // T [rows][heads * head_dim]
  AlignedBuffer projected_;    // f32 [rows][hidden], a sublayer's output before it is added
  AlignedBuffer gate_up_;      // f32 [rows][2 * intermediate]
  AlignedBuffer activated_;    // T [rows][intermediate]
  AlignedBuffer cosines_;      // f32 [rows][head_dim / 2]
  AlignedBuffer sines_;        // f32 [rows][head_dim / 2]
  AlignedBuffer hidden_;       // f32 [rows][hidden], the result
  AlignedBuffer scores_;       // f32 [threads][scratch_floats_]
  AlignedBuffer head_input_;   // T [head rows][hidden]
  AlignedBuffer head_output_;  // f32 [head rows][vocabulary]
  int64_t scratch_floats_ = 0;
};

extern template class ForwardPass<float>;
extern template class ForwardPass<Bf16>;

}  // namespace hocket

#endif  // HOCKET_RUNTIME_MODEL_FORWARD_PASS_H_
