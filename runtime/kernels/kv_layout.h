// Where a key or value element lies within a layer's KV storage. A layer has one array of keys and
// one of values, each [block][kv_head][...]:
//   keys   [head_dim][block_tokens]: a vector's lanes are positions, so a score is summed over
//          head_dim one element after another, in the same order at any vector width;
//   values [block_tokens][head_dim]: lanes are output elements, summed over positions in order.
#ifndef HOCKET_RUNTIME_KERNELS_KV_LAYOUT_H_
#define HOCKET_RUNTIME_KERNELS_KV_LAYOUT_H_

#include <cstdint>

namespace hocket {

struct KvLayout {
  int32_t kv_heads = 0;
  int32_t head_dim = 0;      // A multiple of 8.
  int32_t block_tokens = 0;  // A multiple of 16.

  int64_t HeadElements() const { return int64_t{head_dim} * block_tokens; }
  int64_t BlockElements() const { return kv_heads * HeadElements(); }
  int64_t Offset(int32_t block, int32_t kv_head) const {
    return block * BlockElements() + kv_head * HeadElements();
  }
};

}  // namespace hocket

#endif  // HOCKET_RUNTIME_KERNELS_KV_LAYOUT_H_
