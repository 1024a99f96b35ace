// One safetensors file: a header of names, types, shapes and offsets, then the tensors' bytes,
// which are read where they lie in the mapped file. The header is checked completely before
// anything is handed out. Immutable once open; any thread.
#ifndef HOCKET_RUNTIME_MODEL_SAFETENSORS_H_
#define HOCKET_RUNTIME_MODEL_SAFETENSORS_H_

#include <cstddef>
#include <cstdint>
#include <map>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/statusor.h"
#include "runtime/model/mapped_file.h"

namespace hocket {

// A tensor as it lies in its file, row-major; not necessarily aligned. Valid while the file is
// open.
struct TensorView {
  std::string type;  // As the file spells it: "F32", "BF16", "F16", ...
  std::vector<int64_t> shape;
  std::span<const std::byte> bytes;

  int64_t Elements() const;
};

std::string ShapeText(std::span<const int64_t> shape);  // "[576, 1536]"

class SafetensorsFile {
 public:
  // NOT_FOUND, or INVALID_ARGUMENT naming the file, the tensor and what is wrong with it.
  static absl::StatusOr<SafetensorsFile> Open(const std::string& path);

  const std::string& path() const { return path_; }
  const MappedFile& file() const { return file_; }
  const TensorView* Find(const std::string& name) const;
  const std::map<std::string, TensorView, std::less<>>& tensors() const { return tensors_; }

 private:
  absl::Status ReadHeader();
  absl::Status CheckOverlaps() const;

  std::string path_;
  MappedFile file_;
  std::map<std::string, TensorView, std::less<>> tensors_;
};

}  // namespace hocket

#endif  // HOCKET_RUNTIME_MODEL_SAFETENSORS_H_
