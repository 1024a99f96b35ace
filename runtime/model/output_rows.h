// The rows of a fused matrix, read from the tensors that make it up, where they lie in the
// checkpoint. Immutable; any thread. The checkpoint outlives it.
#ifndef HOCKET_RUNTIME_MODEL_OUTPUT_ROWS_H_
#define HOCKET_RUNTIME_MODEL_OUTPUT_ROWS_H_

#include <cstdint>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "runtime/kernels/bf16.h"
#include "runtime/model/checkpoint.h"

namespace hocket {

// A tensor and its number of rows.
struct NamedRows {
  std::string name;
  int64_t outputs = 0;
};

class OutputRows {
 public:
  // The parts' rows one after another, each [inputs]. Errors as Checkpoint::Find.
  static absl::StatusOr<OutputRows> Find(const Checkpoint& checkpoint,
                                         const std::vector<NamedRows>& parts, int64_t inputs);

  int64_t outputs() const { return ends_.back(); }

  // The tensor that an output's weights are in.
  const std::string& NameOf(int64_t output) const { return names_[PartOf(output)]; }

  // The weights [inputs] of an output.
  void Read(int64_t output, float* row) const;
  void Read(int64_t output, Bf16* row) const;

  // Tells the system that rows [begin, end) will not be read again soon.
  void Release(int64_t begin, int64_t end) const;

 private:
  size_t PartOf(int64_t output) const;
  int64_t FirstOf(size_t part) const { return part == 0 ? 0 : ends_[part - 1]; }

  int64_t inputs_ = 0;
  std::vector<std::string> names_;
  std::vector<TensorView> parts_;
  std::vector<int64_t> ends_;  // The output after each part's last.
};

}  // namespace hocket

#endif  // HOCKET_RUNTIME_MODEL_OUTPUT_ROWS_H_
