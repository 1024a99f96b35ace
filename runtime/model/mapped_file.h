// A file mapped read-only into memory. Owns the mapping; the bytes may be read by any thread while
// it lives. A model folder is updated by renaming new files over old ones: a mapped file that is
// cut short in place cannot be read any more.
#ifndef HOCKET_RUNTIME_MODEL_MAPPED_FILE_H_
#define HOCKET_RUNTIME_MODEL_MAPPED_FILE_H_

#include <cstddef>
#include <span>
#include <string>
#include <utility>

#include "absl/status/statusor.h"

namespace hocket {

class MappedFile {
 public:
  MappedFile() = default;
  // NOT_FOUND or PERMISSION_DENIED naming the path and the system's reason.
  static absl::StatusOr<MappedFile> Open(const std::string& path);
  MappedFile(MappedFile&& other) noexcept { *this = std::move(other); }
  MappedFile& operator=(MappedFile&& other) noexcept {
    std::swap(bytes_, other.bytes_);
    std::swap(descriptor_, other.descriptor_);
    return *this;
  }
  ~MappedFile();

  std::span<const std::byte> bytes() const { return bytes_; }
  int descriptor() const { return descriptor_; }  // Of the same file, open for reading.

 private:
  std::span<const std::byte> bytes_;
  int descriptor_ = -1;
};

// Tells the system that these bytes of a mapping will not be read again soon.
void ReleasePages(std::span<const std::byte> bytes);

// The whole of a small text file. NOT_FOUND naming the path; INVALID_ARGUMENT above `most_bytes`.
absl::StatusOr<std::string> ReadTextFile(const std::string& path, size_t most_bytes = 64 << 20);

}  // namespace hocket

#endif  // HOCKET_RUNTIME_MODEL_MAPPED_FILE_H_
