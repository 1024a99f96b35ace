// bfloat16 and half-precision values as they lie in memory, and their exact scalar conversions.
// Stateless; any thread.
#ifndef HOCKET_RUNTIME_KERNELS_BF16_H_
#define HOCKET_RUNTIME_KERNELS_BF16_H_

#include <bit>
#include <cstdint>

namespace hocket {

struct Bf16 {
  uint16_t bits = 0;
};

struct F16 {
  uint16_t bits = 0;
};

inline float ToF32(float value) { return value; }

inline float ToF32(Bf16 value) { return std::bit_cast<float>(uint32_t{value.bits} << 16); }

// IEEE 754 binary16, subnormals included.
inline float ToF32(F16 value) {
  const uint32_t sign = uint32_t{value.bits & 0x8000u} << 16;
  const uint32_t exponent = (value.bits >> 10) & 0x1f;
  const uint32_t mantissa = value.bits & 0x3ffu;
  if (exponent == 0) {
    const float magnitude = static_cast<float>(mantissa) * 0x1p-24f;
    return sign ? -magnitude : magnitude;
  }
  const uint32_t wide = exponent == 31 ? 255 : exponent + 112;
  return std::bit_cast<float>(sign | wide << 23 | mantissa << 13);
}

// Rounds to the nearest, ties to even; NaN stays NaN.
inline Bf16 ToBf16(float value) {
  const uint32_t bits = std::bit_cast<uint32_t>(value);
  if ((bits & 0x7fffffffu) > 0x7f800000u) return {0x7fc0};
  return {static_cast<uint16_t>((bits + 0x7fffu + ((bits >> 16) & 1)) >> 16)};
}

}  // namespace hocket

#endif  // HOCKET_RUNTIME_KERNELS_BF16_H_
