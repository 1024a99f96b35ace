// The decoder-only transformer: token ids and block tables in, hidden states and logits out. Owns
// the packed weights, the KV storage and the step's scratch memory. After loading, called by the
// engine thread only; it spreads each step over its own OpenMP team.
//
// A row of the result depends on its own sequence alone, bit for bit: not on the other rows, on how
// a prompt was cut into chunks, or on the number of threads.
#ifndef HOCKET_RUNTIME_MODEL_DECODER_H_
#define HOCKET_RUNTIME_MODEL_DECODER_H_

#include <cstdint>
#include <memory>
#include <span>

#include "absl/status/statusor.h"
#include "runtime/model_runtime.h"
#include "scheduler/step.h"

namespace hocket {

class Decoder {
 public:
  // Loads config.json and the safetensors of settings.model_dir, packs the weights and allocates
  // the KV storage. NOT_FOUND, INVALID_ARGUMENT or UNIMPLEMENTED naming the file, field or tensor.
  static absl::StatusOr<std::unique_ptr<Decoder>> Load(const RuntimeSettings& settings);
  virtual ~Decoder() = default;

  // All but the text-related fields are set.
  virtual const ModelInfo& info() const = 0;

  // Does the plan's block copies, then computes its rows, writing their keys and values to their
  // blocks. Returns the final normed hidden states [outputs.size(), hidden_size], f32, of the
  // tokens that `outputs` names (indices into plan.tokens, ascending); valid until the next call.
  // INVALID_ARGUMENT for ids, positions or blocks out of range (nothing is then written).
  virtual absl::StatusOr<std::span<const float>> Forward(const StepPlan& plan,
                                                         std::span<const int32_t> outputs) = 0;

  // The language-model head: hidden [rows, hidden_size] to logits [rows, vocabulary_size], f32. Any
  // number of rows; the same bits however rows are grouped into calls.
  virtual absl::Status Logits(std::span<const float> hidden, int32_t rows,
                              std::span<float> logits) = 0;

  // Threads worth using now: fewer than info().threads while other processes hold their CPUs.
  virtual int32_t threads_in_use() const { return info().threads; }
};

}  // namespace hocket

#endif  // HOCKET_RUNTIME_MODEL_DECODER_H_
