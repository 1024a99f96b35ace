// The paged KV storage: every block's keys and values, of all layers, as runtime/kernels/kv_shape.h
// describes them. Owned by the decoder, touched by the engine thread and its team. A block's layers
// lie together, so memory becomes resident as blocks are first used.
#ifndef HOCKET_RUNTIME_MODEL_KV_STORAGE_H_
#define HOCKET_RUNTIME_MODEL_KV_STORAGE_H_

#include <cstdint>

#include "absl/status/statusor.h"
#include "runtime/kernels/aligned_buffer.h"
#include "runtime/kernels/kv_shape.h"
#include "runtime/model/architecture_spec.h"

namespace hocket {

struct KvStorageSize {
  KvShape shape;
  int32_t layers = 0;
  int32_t blocks = 0;

  // Of one block in all layers.
  int64_t BlockBytes() const;
  int64_t Bytes() const { return blocks * BlockBytes(); }
};

// As many blocks as `cache_bytes` hold or, when that is 0, as three quarters of the memory
// available now hold, at most 4 GiB and what `max_sequences` sequences of full length can use.
// INVALID_ARGUMENT with the numbers when not even one block fits, or when `cache_bytes` is more
// than is available.
absl::StatusOr<KvStorageSize> PlanKvStorage(const ArchitectureSpec& spec, KvType type,
                                            int32_t block_tokens, int64_t cache_bytes,
                                            int32_t max_sequences, int64_t available_bytes);

class KvStorage {
 public:
  KvStorage() = default;
  // RESOURCE_EXHAUSTED when the system has no such memory.
  static absl::StatusOr<KvStorage> Allocate(const KvStorageSize& size);

  const KvStorageSize& size() const { return size_; }
  KvLayer Layer(int32_t layer) const {
    return {memory_.As<std::byte>() + layer * size_.shape.BlockBytes(), size_.BlockBytes()};
  }
  // In all layers.
  void CopyBlock(int32_t source, int32_t target);

 private:
  KvStorageSize size_;
  AlignedBuffer memory_;
};

}  // namespace hocket

#endif  // HOCKET_RUNTIME_MODEL_KV_STORAGE_H_
