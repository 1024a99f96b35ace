#include "runtime/kernels/aligned_buffer.h"

#include <sys/mman.h>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"

namespace hocket {
namespace {
constexpr int64_t kHugePageBytes = int64_t{2} << 20;
}  // namespace

absl::StatusOr<AlignedBuffer> AlignedBuffer::Allocate(int64_t bytes, const char* purpose) {
  AlignedBuffer buffer;
  if (bytes <= 0) return buffer;
  void* data = mmap(nullptr, bytes, PROT_READ | PROT_WRITE,
                    MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
  if (data == MAP_FAILED) {
    return absl::ResourceExhaustedError(
        absl::StrCat("no memory for ", purpose, ": ", bytes, " bytes were asked for"));
  }
  if (bytes >= kHugePageBytes) madvise(data, bytes, MADV_HUGEPAGE);
  buffer.data_ = data;
  buffer.bytes_ = bytes;
  return buffer;
}

AlignedBuffer::~AlignedBuffer() {
  if (data_ != nullptr) munmap(data_, bytes_);
}

}  // namespace hocket
