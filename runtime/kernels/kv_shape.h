// How keys and values lie in a layer's KV storage, in whatever type they are kept. Plain values.
//
// A block holds block_tokens positions of one sequence. Of each kv head it has, one after another:
//   keys          [head_dim / 2][block_tokens][2]: lanes are positions, pairs are neighbours along
//                 head_dim, as bf16 dot products read them;
//   key scales    [block_tokens] f32, int8 only;
//   values        [block_tokens / 2][value_dim][2]: lanes are output elements, pairs are
//   neighbouring
//                 positions;
//   value scales  [block_tokens] f32, int8 only.
// f32, which has no dot products of pairs, has keys [head_dim][block_tokens] and values
// [block_tokens][value_dim].
#ifndef HOCKET_RUNTIME_KERNELS_KV_SHAPE_H_
#define HOCKET_RUNTIME_KERNELS_KV_SHAPE_H_

#include <cstddef>
#include <cstdint>

namespace hocket {

enum class KvType {
  kF32,  // Used with f32 weights.
  kBf16,
  kInt8,  // x = scale * q, q in [-127, 127], one scale a token and kv head, for keys and for
          // values.
};

constexpr int32_t KvElementBytes(KvType type) {
  return type == KvType::kF32 ? 4 : type == KvType::kBf16 ? 2 : 1;
}

struct KvShape {
  KvType type = KvType::kBf16;
  int32_t kv_heads = 0;
  int32_t head_dim = 0;      // A multiple of 8.
  int32_t block_tokens = 0;  // A multiple of 16.

  // Elements of a position's value; those beyond head_dim are anything.
  int32_t value_dim() const { return (head_dim + 15) / 16 * 16; }

  // Bytes from the start of a kv head's part of a block.
  int64_t KeyScalesOffset() const {
    return int64_t{head_dim} * block_tokens * KvElementBytes(type);
  }
  int64_t ValuesOffset() const { return KeyScalesOffset() + ScaleBytes(); }
  int64_t ValueScalesOffset() const {
    return ValuesOffset() + int64_t{value_dim()} * block_tokens * KvElementBytes(type);
  }
  int64_t HeadBytes() const { return ValueScalesOffset() + ScaleBytes(); }
  // Of a block in one layer; a multiple of 64.
  int64_t BlockBytes() const { return kv_heads * HeadBytes(); }

  bool operator==(const KvShape&) const = default;

 private:
  int64_t ScaleBytes() const { return type == KvType::kInt8 ? 4 * int64_t{block_tokens} : 0; }
};

// One layer's blocks. A view; aligned to 64.
struct KvLayer {
  std::byte* data = nullptr;
  int64_t block_stride = 0;  // Bytes between blocks, at least KvShape::BlockBytes().

  std::byte* Head(const KvShape& shape, int32_t block, int32_t kv_head) const {
    return data + block * block_stride + kv_head * shape.HeadBytes();
  }
};

}  // namespace hocket

#endif  // HOCKET_RUNTIME_KERNELS_KV_SHAPE_H_
