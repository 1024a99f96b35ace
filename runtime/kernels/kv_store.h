// A token's key and value of one kv head on their way into the KV storage. Stateless; any thread,
// as long as no two store the same token.
#ifndef HOCKET_RUNTIME_KERNELS_KV_STORE_H_
#define HOCKET_RUNTIME_KERNELS_KV_STORE_H_

#include <cstddef>
#include <cstdint>

#include "runtime/kernels/kv_shape.h"

namespace hocket {

// Puts key and value [head_dim] into slot `slot` of a block's part for a kv head (KvLayer::Head).
// What is not finite, or would not be in the storage's type, becomes its largest finite value: a
// masked position's weight of 0 then stays 0, whatever it is multiplied by.
void StoreKeyAndValue(const KvShape& shape, std::byte* head, int32_t slot, const float* key,
                      const float* value);

}  // namespace hocket

#endif  // HOCKET_RUNTIME_KERNELS_KV_STORE_H_
