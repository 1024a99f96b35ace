#include "runtime/model/kv_cache.h"

#include <algorithm>
#include <cstring>
#include <limits>
#include <utility>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "runtime/kernels/bf16.h"

namespace hocket {
namespace {
constexpr int64_t kMostAutomaticBytes = int64_t{4} << 30;
}  // namespace

absl::StatusOr<KvCacheSize> PlanKvCache(const ArchitectureSpec& spec, int32_t block_tokens,
                                        int32_t element_bytes, int64_t cache_bytes,
                                        int32_t max_sequences, int64_t available_bytes) {
  KvCacheSize size{{spec.kv_heads, spec.head_dim, block_tokens}, spec.layers, 0, element_bytes};
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

template <class T>
absl::StatusOr<KvCache<T>> KvCache<T>::Allocate(const KvCacheSize& size) {
  KvCache cache;
  cache.size_ = size;
  auto keys = AlignedBuffer::Allocate(size.Bytes() / 2, "the KV cache");
  if (!keys.ok()) return keys.status();
  auto values = AlignedBuffer::Allocate(size.Bytes() / 2, "the KV cache");
  if (!values.ok()) return values.status();
  cache.keys_ = *std::move(keys);
  cache.values_ = *std::move(values);
  return cache;
}

template <class T>
void KvCache<T>::CopyBlock(int32_t source, int32_t target) {
  if (source == target) return;
  const int64_t elements = size_.layout.BlockElements();
  for (int32_t layer = 0; layer < size_.layers; ++layer) {
    for (T* storage : {LayerKeys(layer), LayerValues(layer)}) {
      std::memcpy(storage + target * elements, storage + source * elements, elements * sizeof(T));
    }
  }
}

template class KvCache<float>;
template class KvCache<Bf16>;

}  // namespace hocket
