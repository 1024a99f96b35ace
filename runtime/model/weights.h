// A decoder's weights, packed for its products: read from the checkpoint once, query, key and value
// fused into one matrix, gate and up into another. Owned by the decoder; immutable once loaded.
#ifndef HOCKET_RUNTIME_MODEL_WEIGHTS_H_
#define HOCKET_RUNTIME_MODEL_WEIGHTS_H_

#include <cstdint>
#include <functional>
#include <string_view>
#include <vector>

#include "absl/status/statusor.h"
#include "runtime/kernels/linear.h"
#include "runtime/model/architecture_spec.h"
#include "runtime/model/checkpoint.h"

namespace hocket {

template <class T>
struct LayerWeights {
  std::vector<float> attention_norm;  // [hidden]
  Linear<T> qkv;                      // hidden to (heads + 2 * kv_heads) * head_dim
  std::vector<float> qkv_bias;        // Biases are empty where the architecture has none.
  Linear<T> attention_output;         // heads * head_dim to hidden
  std::vector<float> attention_output_bias;
  std::vector<float> mlp_norm;  // [hidden]
  Linear<T> gate_up;            // hidden to 2 * intermediate, the gate first
  std::vector<float> gate_up_bias;
  Linear<T> down;  // intermediate to hidden
  std::vector<float> down_bias;
};

// T is the type of weights and activations: float or Bf16.
template <class T>
struct ModelWeights {
  TensorView embedding;  // [vocabulary, hidden], read where it lies in the checkpoint.
  std::vector<LayerWeights<T>> layers;
  std::vector<float> final_norm;  // [hidden]
  Linear<T> head;                 // hidden to vocabulary
  int64_t parameters = 0;         // A tied head counts once.
  int64_t bytes = 0;              // Of packed weights, and of the embedding where it lies.
};

struct WeightLoading {
  int32_t max_step_rows = 0;
  int32_t max_head_rows = 0;
  std::function<void(std::string_view stage, double fraction)> progress;
};

// The checkpoint and the context outlive the weights. Errors as Checkpoint::Find.
template <class T>
absl::StatusOr<ModelWeights<T>> LoadWeights(const ArchitectureSpec& spec,
                                            const Checkpoint& checkpoint, LinearContext& context,
                                            const WeightLoading& loading);

extern template absl::StatusOr<ModelWeights<float>> LoadWeights(const ArchitectureSpec&,
                                                                const Checkpoint&, LinearContext&,
                                                                const WeightLoading&);
extern template absl::StatusOr<ModelWeights<Bf16>> LoadWeights(const ArchitectureSpec&,
                                                               const Checkpoint&, LinearContext&,
                                                               const WeightLoading&);

}  // namespace hocket

#endif  // HOCKET_RUNTIME_MODEL_WEIGHTS_H_
