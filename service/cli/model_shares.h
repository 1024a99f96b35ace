// How several models of one process share its threads and its memory. Pure but for looking at the
// size of files; main thread.
#ifndef HOCKET_SERVICE_CLI_MODEL_SHARES_H_
#define HOCKET_SERVICE_CLI_MODEL_SHARES_H_

#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "runtime/model_runtime.h"

namespace hocket {

// Each model's threads: its own number where it has one; of what those leave of `total` the others
// get equal parts, the first ones one more where it does not divide, and at least one each.
std::vector<int32_t> ShareThreads(int32_t total, std::span<const std::optional<int32_t>> own);

// The same for bytes of KV cache: 0 where `total` is 0 and the model has no number of its own: what
// is left is then shared while loading (MemoryShares).
std::vector<int64_t> ShareKvBytes(int64_t total, std::span<const std::optional<int64_t>> own);

// About what a folder's weights take in this precision, from the size of its files.
int64_t ExpectedWeightBytes(const std::string& model_dir, Precision precision);

// What each model may count on while models are loaded one after another.
class MemoryShares {
 public:
  struct Model {
    int64_t expected_weight_bytes = 0;
    int64_t kv_cache_bytes = 0;  // 0: a share of what is left.
  };

  // `available_bytes` is what the machine has before the first is loaded.
  MemoryShares(std::vector<Model> models, int64_t available_bytes)
      : models_(std::move(models)), available_bytes_(available_bytes) {}

  // For the next model, when the machine says that `available_bytes` are left now: memory that was
  // promised to those before it may not be in use yet.
  SharedMemory Next(int64_t available_bytes) const;

  // The next model has been loaded.
  void Loaded(const ModelInfo& info);

 private:
  const std::vector<Model> models_;
  const int64_t available_bytes_;
  size_t loaded_ = 0;
  int64_t promised_bytes_ = 0;  // To those loaded, in use or not.
};

}  // namespace hocket

#endif  // HOCKET_SERVICE_CLI_MODEL_SHARES_H_
