// A loaded model, ready to run: what `hocket serve`, `generate` and `score` build from a folder. It
// owns the weights, the tokenizer, the chat template and the executor. Loading happens on the
// caller's thread (with progress); afterwards the executor belongs to one engine thread, and all
// else is immutable.
#ifndef HOCKET_RUNTIME_MODEL_RUNTIME_H_
#define HOCKET_RUNTIME_MODEL_RUNTIME_H_

#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/statusor.h"
#include "runtime/generation_spec.h"
#include "runtime/precision.h"
#include "runtime/text/chat_template.h"
#include "runtime/text/tokenizer.h"
#include "scheduler/step.h"

namespace hocket {

// How one of several models of a process shares the memory with the others.
struct SharedMemory {
  int64_t promised_bytes = 0;  // To models loaded before, and not in use yet.
  int64_t expected_bytes = 0;  // Of weights to come: a KV cache leaves room for them.
  int32_t kv_shares = 1;       // Models, this one included, to whose KV caches the rest goes.
};

struct RuntimeSettings {
  std::string model_dir;
  Precision precision = Precision::kAuto;
  KvPrecision kv_precision = KvPrecision::kAuto;
  // Where quantized weights are kept for the next start: "auto" (beside the model, else in the
  // user's cache folder), "off", or a folder.
  std::string weight_cache = "auto";
  int32_t threads = 0;            // 0: as many as affinity and the cgroup quota allow.
  int32_t block_tokens = 16;      // KV positions in a block: 16, 32, 64, 128 or 256.
  int64_t kv_cache_bytes = 0;     // 0: what the machine or cgroup leaves, at most 4 GiB.
  SharedMemory shared_memory;     // As if alone by default.
  int32_t max_step_tokens = 512;  // Rows of the largest forward pass.
  int32_t max_running_sequences = 64;
  // Called while loading with what is being done and the fraction done, 0 to 1. May be empty.
  std::function<void(std::string_view stage, double fraction)> progress;
  // Called while loading with what an operator may want to know, a line each. May be empty.
  std::function<void(std::string_view line)> notice;
  // What is worth a line later, on a thread of its own, while the model is in use. May be empty.
  std::function<void(std::string_view line)> later_notice;

  absl::Status Validate() const;
};

struct ModelInfo {
  std::string name;                       // The folder's last component.
  std::string architecture;               // config.json's architectures[0].
  Precision precision = Precision::kF32;  // Effective, never kAuto.
  std::string precision_reason;           // Why this one: "as set", "auto: this CPU has AVX2".
  KvPrecision kv_precision = KvPrecision::kF32;  // Effective, never kAuto.
  int64_t parameters = 0;
  int64_t weight_bytes = 0;     // Of packed weights.
  bool weights_mapped = false;  // They lie in the weight cache's file, not in memory of our own.
  int64_t embedding_bytes = 0;  // Read from the checkpoint's file, row by row, as tokens need it.
  int32_t layers = 0;
  int32_t hidden_size = 0;
  int32_t vocabulary_size = 0;  // Rows of the head: valid token ids are below this.
  int32_t max_context_tokens = 0;
  std::vector<TokenId> end_of_text_tokens;  // From generation_config.json, else config.json.
  // Defaults that the model's own generation_config.json recommends, where it has them.
  SamplingSettings default_sampling;
  int32_t kv_blocks = 0;
  int64_t kv_cache_bytes = 0;
  int64_t arena_bytes = 0;             // A step's scratch.
  int64_t process_bytes = 0;           // Resident before the weights: program, tokenizer.
  int64_t available_memory_bytes = 0;  // What machine and cgroup had left then.
  int32_t threads = 0;
  std::string cpu;  // Instruction sets in use, for the log: "avx512_bf16".

  // When every part of the memory above is in use.
  int64_t ExpectedPeakBytes() const {
    return weight_bytes + kv_cache_bytes + arena_bytes + process_bytes;
  }
};

class ModelRuntime {
 public:
  virtual ~ModelRuntime() = default;
  // NOT_FOUND, INVALID_ARGUMENT or UNIMPLEMENTED naming file, tensor or field, what was found and
  // what was expected.
  static absl::StatusOr<std::unique_ptr<ModelRuntime>> Load(const RuntimeSettings& settings);

  virtual const ModelInfo& info() const = 0;
  virtual const Tokenizer& tokenizer() const = 0;
  virtual const ChatTemplate* chat_template() const = 0;  // Null when the folder has none.
  virtual Executor& executor() = 0;
};

}  // namespace hocket

#endif  // HOCKET_RUNTIME_MODEL_RUNTIME_H_
