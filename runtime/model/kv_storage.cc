#include "runtime/model/kv_storage.h"

#include <algorithm>
#include <cstring>
#include <limits>
#include <utility>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"

namespace hocket {
namespace {
constexpr int64_t kMostAutomaticBytes = int64_t{4} << 30;
constexpr int64_t kPageBytes = 4096;
// Blocks of fewer pages are not worth rounding.
constexpr int64_t kPagedBytes = 16 * kPageBytes;
}  // namespace

int64_t KvStorageSize::BlockBytes() const {
  const int64_t bytes = layers * shape.BlockBytes();
  if (bytes < kPagedBytes) return bytes;
  // An odd number of pages: with a power of 2 of them the same layer of every block would fall into
  // the same few sets of the caches.
  return ((bytes + kPageBytes - 1) / kPageBytes | 1) * kPageBytes;
}

absl::StatusOr<KvStorageSize> PlanKvStorage(const ArchitectureSpec& spec, KvType type,
                                            int32_t block_tokens, int64_t cache_bytes,
                                            int32_t max_sequences, int64_t available_bytes) {
  KvStorageSize size{{type, spec.kv_heads, spec.head_dim, block_tokens}, spec.layers, 0};
  if (cache_bytes > available_bytes) {
    return absl::InvalidArgumentError(absl::StrCat("kv_cache_bytes is ", cache_bytes, ", but only ",
                                                   available_bytes, " bytes of memory are left"));
  }
  const int64_t budget =
      cache_bytes > 0 ? cache_bytes : std::min(kMostAutomaticBytes, available_bytes / 4 * 3);
  int64_t blocks = budget / size.BlockBytes();
  if (cache_bytes == 0) {
    const int64_t per_sequence = (spec.max_context_tokens + block_tokens - 1) / block_tokens;
    blocks = std::min(blocks, per_sequence * max_sequences);
  }
  if (blocks < 1) {
    return absl::InvalidArgumentError(
        absl::StrCat("the KV cache of ", budget, " bytes holds no block: one of ", block_tokens,
                     " tokens takes ", size.BlockBytes(), " bytes (set kv_cache_bytes)"));
  }
  size.blocks =
      static_cast<int32_t>(std::min<int64_t>(blocks, std::numeric_limits<int32_t>::max()));
  return size;
}

absl::StatusOr<KvStorage> KvStorage::Allocate(const KvStorageSize& size) {
  KvStorage storage;
  storage.size_ = size;
  auto memory = AlignedBuffer::Allocate(size.Bytes(), "the KV cache");
  if (!memory.ok()) return memory.status();
  storage.memory_ = *std::move(memory);
  return storage;
}

void KvStorage::CopyBlock(int32_t source, int32_t target) {
  if (source == target) return;
  const int64_t bytes = size_.BlockBytes();
  std::byte* const memory = memory_.As<std::byte>();
  std::memcpy(memory + target * bytes, memory + source * bytes, bytes);
}

}  // namespace hocket
