#include "runtime/kernels/rotary.h"

#include <cmath>

// The order matters: everything after foreach_target.h is read once per target.
// clang-format off
#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "runtime/kernels/rotary.cc"
#include "hwy/foreach_target.h"  // IWYU pragma: keep
#include "hwy/highway.h"
#include "runtime/kernels/simd-inl.h"
// clang-format on

HWY_BEFORE_NAMESPACE();
namespace hocket {
namespace HWY_NAMESPACE {

void AddBias(const float* bias, size_t n, float* x) {
  if (bias == nullptr) return;
  ForEachVector(n, [&](auto d, size_t i) HWY_ATTR {
    hn::StoreU(hn::Add(hn::LoadU(d, x + i), hn::LoadU(d, bias + i)), d, x + i);
  });
}

void RotateHead(const float* cosines, const float* sines, size_t half, float scale, float* x) {
  ForEachVector(half, [&](auto d, size_t i) HWY_ATTR {
    const auto cosine = hn::LoadU(d, cosines + i);
    const auto sine = hn::LoadU(d, sines + i);
    const auto low = hn::LoadU(d, x + i);
    const auto high = hn::LoadU(d, x + half + i);
    const auto factor = hn::Set(d, scale);
    const auto new_low = hn::NegMulAdd(high, sine, hn::Mul(low, cosine));
    const auto new_high = hn::MulAdd(low, sine, hn::Mul(high, cosine));
    hn::StoreU(hn::Mul(new_low, factor), d, x + i);
    hn::StoreU(hn::Mul(new_high, factor), d, x + half + i);
  });
}

void RotateHeadInto(const HeadRotation& rotation, const float* x, const float* bias, float scale,
                    float* out) {
  const size_t half = rotation.head_dim / 2;
  ForEachVector(half, [&](auto d, size_t i) HWY_ATTR {
    const auto cosine = hn::LoadU(d, rotation.cosines + i);
    const auto sine = hn::LoadU(d, rotation.sines + i);
    auto low = hn::LoadU(d, x + i);
    auto high = hn::LoadU(d, x + half + i);
    if (bias != nullptr) {
      low = hn::Add(low, hn::LoadU(d, bias + i));
      high = hn::Add(high, hn::LoadU(d, bias + half + i));
    }
    const auto factor = hn::Set(d, scale);
    const auto new_low = hn::NegMulAdd(high, sine, hn::Mul(low, cosine));
    const auto new_high = hn::MulAdd(low, sine, hn::Mul(high, cosine));
    hn::StoreU(hn::Mul(new_low, factor), d, out + i);
    hn::StoreU(hn::Mul(new_high, factor), d, out + half + i);
  });
}

HWY_INLINE void PutElement(float from, float* to) { *to = from; }
HWY_INLINE void PutElement(float from, Bf16* to) { *to = ToBf16(from); }

template <class T>
void RotateAndStoreT(const KvLayout& layout, const RotaryToken& token, T* keys, T* values) {
  const size_t dim = layout.head_dim;
  const size_t half = dim / 2;
  const size_t block_tokens = layout.block_tokens;
  AddBias(token.bias, (token.heads + 2 * layout.kv_heads) * dim, token.qkv);

  const float query_scale = 1.0f / std::sqrt(static_cast<float>(dim));
  for (int32_t head = 0; head < token.heads; ++head) {
    RotateHead(token.cosines, token.sines, half, query_scale, token.qkv + head * dim);
  }
  float* key = token.qkv + token.heads * dim;
  const float* value = key + layout.kv_heads * dim;
  for (int32_t head = 0; head < layout.kv_heads; ++head, key += dim, value += dim) {
    RotateHead(token.cosines, token.sines, half, 1.0f, key);
    T* key_column = keys + layout.Offset(token.block, head) + token.slot;
    for (size_t i = 0; i < dim; ++i) PutElement(key[i], key_column + i * block_tokens);
    T* value_row = values + layout.Offset(token.block, head) + token.slot * dim;
    ForEachVector(dim, [&](auto d, size_t i)
                           HWY_ATTR { StoreF32(d, hn::LoadU(d, value + i), value_row + i); });
  }
}

void RotateAndStoreF32(const KvLayout& layout, const RotaryToken& token, float* keys,
                       float* values) {
  RotateAndStoreT(layout, token, keys, values);
}
void RotateAndStoreBf16(const KvLayout& layout, const RotaryToken& token, Bf16* keys,
                        Bf16* values) {
  RotateAndStoreT(layout, token, keys, values);
}

}  // namespace HWY_NAMESPACE
}  // namespace hocket
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace hocket {
HWY_EXPORT(RotateHeadInto);
HWY_EXPORT(RotateAndStoreF32);
HWY_EXPORT(RotateAndStoreBf16);

void RotaryAngles(std::span<const float> frequencies, int32_t position, float* cosines,
                  float* sines) {
  for (size_t i = 0; i < frequencies.size(); ++i) {
    const double angle = frequencies[i] * static_cast<float>(position);
    cosines[i] = static_cast<float>(std::cos(angle));
    sines[i] = static_cast<float>(std::sin(angle));
  }
}

void RotateHead(const HeadRotation& rotation, const float* x, const float* bias, float scale,
                float* out) {
  HWY_DYNAMIC_DISPATCH(RotateHeadInto)(rotation, x, bias, scale, out);
}

void RotateAndStore(const KvLayout& layout, const RotaryToken& token, float* keys, float* values) {
  HWY_DYNAMIC_DISPATCH(RotateAndStoreF32)(layout, token, keys, values);
}
void RotateAndStore(const KvLayout& layout, const RotaryToken& token, Bf16* keys, Bf16* values) {
  HWY_DYNAMIC_DISPATCH(RotateAndStoreBf16)(layout, token, keys, values);
}
}  // namespace hocket
#endif
