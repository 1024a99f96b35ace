#include "runtime/kernels/int8_dot_kernels.h"

#if defined(__x86_64__)

#include <cpuid.h>
#include <immintrin.h>

#include <array>
#include <utility>

#include "hwy/base.h"

// GCC 12 takes the unused operand that its own headers pass to masked instructions for a mistake.
#if HWY_COMPILER_GCC_ACTUAL
#pragma GCC diagnostic ignored "-Wmaybe-uninitialized"
#endif

namespace hocket {
namespace {

// clang-format off
HWY_PUSH_ATTRIBUTES("avx512f,avx512bw,avx512vl,avx512dq,avx512vnni")
// clang-format on
namespace avx512_vnni {

using Vec = __m512i;
inline constexpr int kLanes = 16;
inline constexpr int kMostTileRows = 10;  // Of 11 GCC 12 keeps some sums on the stack.
inline constexpr int kMostInt4TileRows = 5;
inline constexpr int64_t kPrefetchBytes = 4096;

inline Vec Zero() { return _mm512_setzero_si512(); }
inline Vec Load(const void* p) { return _mm512_loadu_si512(p); }
inline void Store(Vec v, void* p) { _mm512_storeu_si512(p, v); }
inline Vec Broadcast4(const uint8_t* p) {
  int32_t bytes;
  __builtin_memcpy(&bytes, p, 4);
  return _mm512_set1_epi32(bytes);
}
inline Vec Dot(Vec sum, Vec u8, Vec s8) { return _mm512_dpbusd_epi32(sum, u8, s8); }
// Without this GCC 12 orders a tile's instructions so that some of its sums live on the stack.
inline void KeepInRegister(Vec& v) { asm volatile("" : "+v"(v)); }
inline Vec Add32(Vec a, Vec b) { return _mm512_add_epi32(a, b); }
inline Vec Multiply32(Vec a, Vec b) { return _mm512_mullo_epi32(a, b); }
inline Vec And(Vec a, Vec b) { return _mm512_and_si512(a, b); }
inline Vec Or(Vec a, Vec b) { return _mm512_or_si512(a, b); }
inline Vec Set8(int v) { return _mm512_set1_epi8(static_cast<char>(v)); }
inline Vec Set16(int v) { return _mm512_set1_epi16(static_cast<int16_t>(v)); }
inline Vec PairProducts(Vec u8, Vec s8) { return _mm512_maddubs_epi16(u8, s8); }
inline Vec WidenU8(const uint8_t* p) {
  return _mm512_cvtepu8_epi32(_mm_loadu_si128(reinterpret_cast<const __m128i*>(p)));
}
template <int kBits>
inline Vec ShiftRight32(Vec v) {
  return _mm512_srai_epi32(v, kBits);
}
template <int kBits>
inline Vec ShiftLeft32(Vec v) {
  return _mm512_slli_epi32(v, kBits);
}
template <int kBits>
inline Vec ShiftLeft16(Vec v) {
  return _mm512_slli_epi16(v, kBits);
}
template <int kBits>
inline Vec ShiftRight16(Vec v) {
  return _mm512_srli_epi16(v, kBits);
}

#include "runtime/kernels/int8_dot_vnni-inl.h"

}  // namespace avx512_vnni
HWY_POP_ATTRIBUTES

#if !HWY_COMPILER_GCC_ACTUAL || HWY_COMPILER_GCC_ACTUAL >= 1100
#define HOCKET_HAVE_AVX_VNNI
// clang-format off
HWY_PUSH_ATTRIBUTES("avx2,avxvnni")
// clang-format on
namespace avx_vnni {

using Vec = __m256i;
inline constexpr int kLanes = 8;
inline constexpr int kMostTileRows = 3;
inline constexpr int kMostInt4TileRows = 1;
inline constexpr int64_t kPrefetchBytes = 4096;

inline Vec Zero() { return _mm256_setzero_si256(); }
inline Vec Load(const void* p) { return _mm256_loadu_si256(static_cast<const __m256i*>(p)); }
inline void Store(Vec v, void* p) { _mm256_storeu_si256(static_cast<__m256i*>(p), v); }
inline Vec Broadcast4(const uint8_t* p) {
  int32_t bytes;
  __builtin_memcpy(&bytes, p, 4);
  return _mm256_set1_epi32(bytes);
}
inline Vec Dot(Vec sum, Vec u8, Vec s8) { return _mm256_dpbusd_avx_epi32(sum, u8, s8); }
inline void KeepInRegister(Vec& v) { asm volatile("" : "+x"(v)); }
inline Vec Add32(Vec a, Vec b) { return _mm256_add_epi32(a, b); }
inline Vec Multiply32(Vec a, Vec b) { return _mm256_mullo_epi32(a, b); }
inline Vec And(Vec a, Vec b) { return _mm256_and_si256(a, b); }
inline Vec Or(Vec a, Vec b) { return _mm256_or_si256(a, b); }
inline Vec Set8(int v) { return _mm256_set1_epi8(static_cast<char>(v)); }
inline Vec Set16(int v) { return _mm256_set1_epi16(static_cast<int16_t>(v)); }
inline Vec PairProducts(Vec u8, Vec s8) { return _mm256_maddubs_epi16(u8, s8); }
inline Vec WidenU8(const uint8_t* p) {
  return _mm256_cvtepu8_epi32(_mm_loadl_epi64(reinterpret_cast<const __m128i*>(p)));
}
template <int kBits>
inline Vec ShiftRight32(Vec v) {
  return _mm256_srai_epi32(v, kBits);
}
template <int kBits>
inline Vec ShiftLeft32(Vec v) {
  return _mm256_slli_epi32(v, kBits);
}
template <int kBits>
inline Vec ShiftLeft16(Vec v) {
  return _mm256_slli_epi16(v, kBits);
}
template <int kBits>
inline Vec ShiftRight16(Vec v) {
  return _mm256_srli_epi16(v, kBits);
}

#include "runtime/kernels/int8_dot_vnni-inl.h"

}  // namespace avx_vnni
HWY_POP_ATTRIBUTES
#endif

}  // namespace

bool HasAvx512Vnni() {
  return __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") &&
         __builtin_cpu_supports("avx512vl") && __builtin_cpu_supports("avx512dq") &&
         __builtin_cpu_supports("avx512vnni");
}

const Int8DotKernel kAvx512VnniDot = {
    .name = "avx512_vnni",
    .int8 = {.dot = avx512_vnni::DotInt8},
    .int4 = {.dot = avx512_vnni::DotInt4,
             .unpack_rows = 16,
             .unpacked_bytes = 1,
             .unpacks_to_int8_panel = true,
             .unpack = avx512_vnni::UnpackInt4,
             .dot_unpacked = avx512_vnni::DotInt8},
};

#ifdef HOCKET_HAVE_AVX_VNNI
bool HasAvxVnni() {
  unsigned eax = 0;
  unsigned ebx = 0;
  unsigned ecx = 0;
  unsigned edx = 0;
  // Leaf 7, subleaf 1, EAX bit 4. The name is not one that __builtin_cpu_supports takes everywhere.
  return __builtin_cpu_supports("avx2") && __get_cpuid_count(7, 1, &eax, &ebx, &ecx, &edx) != 0 &&
         (eax >> 4 & 1) != 0;
}

const Int8DotKernel kAvxVnniDot = {
    .name = "avx_vnni",
    .int8 = {.dot = avx_vnni::DotInt8},
    .int4 = {.dot = avx_vnni::DotInt4,
             .unpack_rows = 3,
             .unpacked_bytes = 1,
             .unpacks_to_int8_panel = true,
             .unpack = avx_vnni::UnpackInt4,
             .dot_unpacked = avx_vnni::DotInt8},
};
#else
bool HasAvxVnni() { return false; }
const Int8DotKernel kAvxVnniDot = {.name = "none", .int8 = {}, .int4 = {}};
#endif

}  // namespace hocket

#endif
