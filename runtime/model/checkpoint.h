// A model folder's weights: model.safetensors, or the shards that model.safetensors.index.json
// lists. Immutable once open; any thread.
#ifndef HOCKET_RUNTIME_MODEL_CHECKPOINT_H_
#define HOCKET_RUNTIME_MODEL_CHECKPOINT_H_

#include <cstdint>
#include <initializer_list>
#include <map>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/statusor.h"
#include "runtime/kernels/bf16.h"
#include "runtime/model/safetensors.h"

namespace hocket {

class Checkpoint {
 public:
  // NOT_FOUND when the folder has neither file; INVALID_ARGUMENT naming a damaged file or index.
  static absl::StatusOr<Checkpoint> Open(const std::string& folder);

  // The tensor of that name. NOT_FOUND naming it; INVALID_ARGUMENT when its shape differs, naming
  // what was found and what was expected; UNIMPLEMENTED when its dtype is not F32, BF16 or F16.
  absl::StatusOr<TensorView> Find(const std::string& name,
                                  std::initializer_list<int64_t> expected_shape) const;
  bool Has(const std::string& name) const { return files_by_tensor_.contains(name); }
  const std::vector<SafetensorsFile>& files() const { return files_; }
  const MappedFile& FileOf(const TensorView& view) const;  // Of a tensor that Find returned.

 private:
  absl::Status OpenShards(const std::string& index_path);

  std::string folder_;
  std::vector<SafetensorsFile> files_;
  std::map<std::string, size_t, std::less<>> files_by_tensor_;  // Indices into files_.
};

// Elements [first, first + count) of a tensor that Checkpoint::Find returned, as float or Bf16.
void ConvertElements(const TensorView& view, int64_t first, int64_t count, float* to);
void ConvertElements(const TensorView& view, int64_t first, int64_t count, Bf16* to);

}  // namespace hocket

#endif  // HOCKET_RUNTIME_MODEL_CHECKPOINT_H_
