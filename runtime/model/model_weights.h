// A decoder's weights, packed for its products in one precision: read from the checkpoint once, or
// mapped from the weight cache; query, key and value fused into one matrix, gate and up into
// another. Owned by the decoder; immutable once loaded, then any thread.
#ifndef HOCKET_RUNTIME_MODEL_MODEL_WEIGHTS_H_
#define HOCKET_RUNTIME_MODEL_MODEL_WEIGHTS_H_

#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/statusor.h"
#include "runtime/kernels/aligned_buffer.h"
#include "runtime/kernels/team.h"
#include "runtime/kernels/weight_matrix.h"
#include "runtime/model/architecture_spec.h"
#include "runtime/model/checkpoint.h"
#include "runtime/model/embedding_table.h"
#include "runtime/model/large_pages.h"
#include "runtime/model/mapped_file.h"
#include "runtime/precision.h"

namespace hocket {

// Biases are empty where the architecture has none. Norms and biases are f32, rounded to bf16 first
// where the weights are bf16.
struct LayerWeights {
  std::vector<float> attention_norm;               // [hidden]
  std::unique_ptr<WeightMatrix> qkv;               // hidden to (heads + 2 * kv_heads) * head_dim
  std::vector<float> qkv_bias;                     // [(heads + 2 * kv_heads) * head_dim]
  std::unique_ptr<WeightMatrix> attention_output;  // heads * head_dim to hidden
  std::vector<float> attention_output_bias;        // [hidden]
  std::vector<float> mlp_norm;                     // [hidden]
  std::unique_ptr<WeightMatrix> gate_up;           // Gated: hidden to 2 * intermediate, gate first
  std::vector<float> gate_up_bias;                 // [2 * intermediate], the gate's first
  std::unique_ptr<WeightMatrix> down;              // intermediate to hidden
  std::vector<float> down_bias;                    // [hidden]
};

struct ModelWeights {
  EmbeddingTable embedding;  // Rounded to bf16 where the weights are bf16.
  std::vector<LayerWeights> layers;
  std::vector<float> final_norm;       // [hidden]
  std::unique_ptr<WeightMatrix> head;  // hidden to vocabulary
  int64_t parameters = 0;              // A tied head counts once.
  int64_t bytes = 0;    // Of packed weights, norms and biases. The embedding stays in its file.
  bool mapped = false;  // From the weight cache.

  // What quantized matrices look into: one of these.
  AlignedBuffer packed;
  MappedFile cache;
  std::unique_ptr<LargePageMove> cache_move;  // Of `cache`.
};

struct WeightSettings {
  Precision precision = Precision::kBf16;       // Not kAuto.
  Precision head_precision = Precision::kAuto;  // kAuto: int8 with int4 weights, else as they are.
  std::string model_dir;
  std::string weight_cache = "auto";  // "auto", "off", or a folder. Only quantized weights use it.
  int64_t memory_bytes = 0;  // What the weights may take. 0: what machine and cgroup leave.
  std::function<void(std::string_view stage, double fraction)> progress;  // May be empty.
  std::function<void(std::string_view line)> notice;  // For the log. May be empty.
  // The same, on a thread of its own, at any time while the weights live.
  std::function<void(std::string_view line)> later_notice;
};

// The checkpoint outlives the weights. Packing runs on `team`. Errors as Checkpoint::Find;
// RESOURCE_EXHAUSTED with the numbers, before anything is read, when the packed weights are larger
// than the memory that is left.
absl::StatusOr<ModelWeights> LoadModelWeights(const ArchitectureSpec& spec,
                                              const Checkpoint& checkpoint, Team& team,
                                              const WeightSettings& settings);

}  // namespace hocket

#endif  // HOCKET_RUNTIME_MODEL_MODEL_WEIGHTS_H_
