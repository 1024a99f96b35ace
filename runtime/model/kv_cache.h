// The paged KV storage: per layer, keys and values of every block, in the layout that
// runtime/kernels/kv_layout.h describes. Owned by the decoder, touched by the engine thread and its
// team. Pages become resident as blocks are first used.
#ifndef HOCKET_RUNTIME_MODEL_KV_CACHE_H_
#define HOCKET_RUNTIME_MODEL_KV_CACHE_H_

#include <cstdint>

#include "absl/status/statusor.h"
#include "runtime/kernels/aligned_buffer.h"
#include "runtime/kernels/kv_layout.h"
#include "runtime/model/architecture_spec.h"

namespace hocket {

struct KvCacheSize {
  KvLayout layout;
  int32_t layers = 0;
  int32_t blocks = 0;
  int32_t element_bytes = 0;

  int64_t BlockBytes() const { return 2 * layout.BlockElements() * element_bytes * layers; }
  int64_t Bytes() const { return blocks * BlockBytes(); }
};

// As many blocks as `cache_bytes` hold or, when that is 0, as three quarters of the memory
// available now hold, at most 4 GiB and what `max_sequences` sequences of full length can use.
// INVALID_ARGUMENT with the numbers when not even one block fits, or when `cache_bytes` is more
// than is available.
absl::StatusOr<KvCacheSize> PlanKvCache(const ArchitectureSpec& spec, int32_t block_tokens,
                                        int32_t element_bytes, int64_t cache_bytes,
                                        int32_t max_sequences, int64_t available_bytes);

template <class T>
class KvCache {
 public:
  static absl::StatusOr<KvCache> Allocate(const KvCacheSize& size);

  const KvCacheSize& size() const { return size_; }
  T* LayerKeys(int32_t layer) { return keys_.As<T>() + layer * LayerElements(); }
  T* LayerValues(int32_t layer) { return values_.As<T>() + layer * LayerElements(); }
  void CopyBlock(int32_t source, int32_t target);

 private:
  int64_t LayerElements() const { return size_.blocks * size_.layout.BlockElements(); }

  KvCacheSize size_;
  AlignedBuffer keys_;
  AlignedBuffer values_;
};

}  // namespace hocket

#endif  // HOCKET_RUNTIME_MODEL_KV_CACHE_H_
