// Memory for weights, KV storage and step scratch: zeroed, aligned to a page, given back by the
// destructor. Pages become resident when first touched, and large ones are asked for where the
// system has them. Move-only; one owner.
#ifndef HOCKET_RUNTIME_KERNELS_ALIGNED_BUFFER_H_
#define HOCKET_RUNTIME_KERNELS_ALIGNED_BUFFER_H_

#include <cstddef>
#include <cstdint>
#include <utility>

#include "absl/status/statusor.h"

namespace hocket {

class AlignedBuffer {
 public:
  AlignedBuffer() = default;
  // RESOURCE_EXHAUSTED naming `purpose` and the size when the system has no such memory.
  static absl::StatusOr<AlignedBuffer> Allocate(int64_t bytes, const char* purpose);
  AlignedBuffer(AlignedBuffer&& other) noexcept { *this = std::move(other); }
  AlignedBuffer& operator=(AlignedBuffer&& other) noexcept {
    std::swap(data_, other.data_);
    std::swap(bytes_, other.bytes_);
    return *this;
  }
  ~AlignedBuffer();

  void* data() const { return data_; }
  int64_t bytes() const { return bytes_; }
  template <class T>
  T* As() const {
    return static_cast<T*>(data_);
  }

 private:
  void* data_ = nullptr;
  int64_t bytes_ = 0;
};

}  // namespace hocket

#endif  // HOCKET_RUNTIME_KERNELS_ALIGNED_BUFFER_H_
