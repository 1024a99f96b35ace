#include "runtime/kernels/kv_store.h"

#include <cstring>
#include <limits>

#include "runtime/kernels/attention_kernels.h"

// The order matters: everything after foreach_target.h is read once per target.
// clang-format off
#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "runtime/kernels/kv_store.cc"
#include "hwy/foreach_target.h"  // IWYU pragma: keep
#include "hwy/highway.h"
#include "runtime/kernels/simd-inl.h"
// clang-format on

HWY_BEFORE_NAMESPACE();
namespace hocket {
namespace HWY_NAMESPACE {

constexpr float kMostBf16 = 0x1.fep127f;

template <class D>
HWY_INLINE hn::Vec<D> Saturate(D d, hn::Vec<D> x, float most) {
  const auto clamped = hn::Min(hn::Max(x, hn::Set(d, -most)), hn::Set(d, most));
  return hn::IfThenElse(hn::IsNaN(x), hn::Set(d, most), clamped);
}

void SaturateRow(const float* x, int32_t n, float most, float* to) {
  ForEachVector(n, [&](auto d, size_t i)
                       HWY_ATTR { hn::StoreU(Saturate(d, hn::LoadU(d, x + i), most), d, to + i); });
}

void RoundRow(const float* x, int32_t n, Bf16* to) {
  ForEachVector(n, [&](auto d, size_t i) HWY_ATTR {
    StoreF32(d, Saturate(d, hn::LoadU(d, x + i), kMostBf16), to + i);
  });
}

// Returns the scale.
float QuantizeRow(const float* x, int32_t n, int8_t* to) {
  HWY_ALIGN float finite[kMaxHeadDim];
  // Scale times 127 is finite again.
  SaturateRow(x, n, kMostBf16, finite);
  HWY_ALIGN float lanes[kMaxLanes] = {};
  ForEachVector(n, [&](auto d, size_t i) HWY_ATTR {
    hn::StoreU(hn::Max(hn::LoadU(d, lanes), hn::Abs(hn::LoadU(d, finite + i))), d, lanes);
  });
  float most = 0;
  for (const float lane : lanes) most = HWY_MAX(most, lane);
  // Where the quotient would not be finite the row counts as zeros.
  const float inverse = most < 1e-35f ? 0.0f : 127.0f / most;
  ForEachVector(n, [&](auto d, size_t i) HWY_ATTR {
    const hn::Rebind<int8_t, decltype(d)> d8;
    const auto rounded = hn::NearestInt(hn::Mul(hn::LoadU(d, finite + i), hn::Set(d, inverse)));
    hn::StoreU(hn::DemoteTo(d8, rounded), d8, to + i);
  });
  return most < 1e-35f ? 0.0f : most / 127.0f;
}

}  // namespace HWY_NAMESPACE
}  // namespace hocket
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace hocket {
namespace {
constexpr float kMostF32 = std::numeric_limits<float>::max();

HWY_EXPORT(SaturateRow);
HWY_EXPORT(RoundRow);
HWY_EXPORT(QuantizeRow);

// Keys: pairs of elements, each in its own row.
template <class Pair, class T>
void PutPairs(const T* elements, int32_t head_dim, int32_t block_tokens, int32_t slot,
              std::byte* keys) {
  static_assert(sizeof(Pair) == 2 * sizeof(T));
  std::byte* to = keys + slot * sizeof(Pair);
  for (int32_t i = 0; i < head_dim; i += 2, to += block_tokens * sizeof(Pair)) {
    std::memcpy(to, elements + i, sizeof(Pair));
  }
}

// Values: every second element of the row of two positions. Only the token's own bytes are
// written, since another thread may be writing its neighbour's.
template <class T>
void PutEverySecond(const T* elements, int32_t head_dim, int32_t value_dim, int32_t slot,
                    std::byte* values) {
  T* to = reinterpret_cast<T*>(values) + int64_t{slot / 2} * 2 * value_dim + slot % 2;
  for (int32_t i = 0; i < head_dim; ++i) to[2 * i] = elements[i];
}

void StoreF32(const KvShape& shape, std::byte* head, int32_t slot, const float* key,
              const float* value) {
  float finite[kMaxHeadDim];
  HWY_DYNAMIC_DISPATCH(SaturateRow)(key, shape.head_dim, kMostF32, finite);
  float* keys = reinterpret_cast<float*>(head) + slot;
  for (int32_t i = 0; i < shape.head_dim; ++i) keys[int64_t{i} * shape.block_tokens] = finite[i];
  float* values = reinterpret_cast<float*>(head + shape.ValuesOffset());
  HWY_DYNAMIC_DISPATCH(SaturateRow)
  (value, shape.head_dim, kMostF32, values + int64_t{slot} * shape.value_dim());
}

void StoreBf16(const KvShape& shape, std::byte* head, int32_t slot, const float* key,
               const float* value) {
  Bf16 rounded[kMaxHeadDim];
  HWY_DYNAMIC_DISPATCH(RoundRow)(key, shape.head_dim, rounded);
  PutPairs<uint32_t>(rounded, shape.head_dim, shape.block_tokens, slot, head);
  HWY_DYNAMIC_DISPATCH(RoundRow)(value, shape.head_dim, rounded);
  PutEverySecond(rounded, shape.head_dim, shape.value_dim(), slot, head + shape.ValuesOffset());
}

void StoreInt8(const KvShape& shape, std::byte* head, int32_t slot, const float* key,
               const float* value) {
  int8_t quantized[kMaxHeadDim];
  float scale = HWY_DYNAMIC_DISPATCH(QuantizeRow)(key, shape.head_dim, quantized);
  std::memcpy(head + shape.KeyScalesOffset() + slot * sizeof(float), &scale, sizeof(float));
  PutPairs<uint16_t>(quantized, shape.head_dim, shape.block_tokens, slot, head);
  scale = HWY_DYNAMIC_DISPATCH(QuantizeRow)(value, shape.head_dim, quantized);
  std::memcpy(head + shape.ValueScalesOffset() + slot * sizeof(float), &scale, sizeof(float));
  PutEverySecond(quantized, shape.head_dim, shape.value_dim(), slot, head + shape.ValuesOffset());
}

}  // namespace

void StoreKeyAndValue(const KvShape& shape, std::byte* head, int32_t slot, const float* key,
                      const float* value) {
  switch (shape.type) {
    case KvType::kF32:
      return StoreF32(shape, head, slot, key, value);
    case KvType::kBf16:
      return StoreBf16(shape, head, slot, key, value);
    case KvType::kInt8:
      return StoreInt8(shape, head, slot, key, value);
  }
}
}  // namespace hocket
#endif
