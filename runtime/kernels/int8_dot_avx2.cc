// AVX2 has no instruction that adds products of bytes to 32 bits. It multiplies uint8 by int8 and
// adds pairs to an int16 that saturates, so
//   int8: |x| <= 127 times w with x's sign: a pair's sum is at most 2 * 127 * 127 < 2^15.
//   int4: x <= 255 times q in [-8, 7]: 8 pairs' sums are at most 8 * 2 * 255 * 8 < 2^15. One
//         instruction then multiplies them by the group's multiplier and adds neighbours.
#include "runtime/kernels/int8_dot_kernels.h"

#if defined(__x86_64__)

#include <immintrin.h>

#include "hwy/base.h"

namespace hocket {
namespace {

inline constexpr int64_t kStepBytes = kPanelOutputs * 4;
inline constexpr int64_t kInt4StepBytes = kStepBytes / 2;
inline constexpr int64_t kPrefetchBytes = 2048;
// Steps of 4 inputs whose int4 products an int16 holds.
inline constexpr int64_t kStepsIn16Bits = 8;
inline constexpr int kVectors = 4;  // Of 8 outputs each.

// clang-format off
HWY_PUSH_ATTRIBUTES("avx2")
// clang-format on

inline __m256i Load(const void* p) { return _mm256_loadu_si256(static_cast<const __m256i*>(p)); }
inline void Store(__m256i v, void* p) { _mm256_storeu_si256(static_cast<__m256i*>(p), v); }
inline __m256i Broadcast4(const uint8_t* p) {
  int32_t bytes;
  __builtin_memcpy(&bytes, p, 4);
  return _mm256_set1_epi32(bytes);
}

// [inputs / 4][2][4] for each row: four signed values, and their magnitudes.
void PrepareRows(const DotRows& rows, int64_t inputs, uint8_t* prepared) {
  const __m256i bias = _mm256_set1_epi8(static_cast<char>(0x80));
  for (int64_t r = 0; r < rows.count; ++r) {
    const uint8_t* const from = rows.data + r * rows.stride;
    uint8_t* const to = prepared + r * inputs * 2;
    for (int64_t i = 0; i < inputs; i += 32) {
      // The halves that belong together after unpacking, which works within 128 bits.
      const __m256i x = _mm256_permute4x64_epi64(_mm256_xor_si256(Load(from + i), bias), 0xd8);
      const __m256i magnitude = _mm256_abs_epi8(x);
      Store(_mm256_unpacklo_epi32(x, magnitude), to + i * 2);
      Store(_mm256_unpackhi_epi32(x, magnitude), to + i * 2 + 32);
    }
  }
}

template <int kRows>
void Tile(const uint8_t* x, int64_t stride, const int8_t* weights, int64_t steps,
          const DotSums& sums) {
  const __m256i ones = _mm256_set1_epi16(1);
  __m256i sum[kRows][kVectors];
  for (auto& row : sum) {
    for (__m256i& v : row) v = _mm256_setzero_si256();
  }
  for (int64_t step = 0; step < steps; ++step) {
    const int8_t* const w = weights + step * kStepBytes;
    __builtin_prefetch(w + kPrefetchBytes);
    __builtin_prefetch(w + kPrefetchBytes + 64);
    __m256i input[kRows];
    __m256i magnitude[kRows];
#pragma GCC unroll 2
    for (int r = 0; r < kRows; ++r) {
      input[r] = Broadcast4(x + r * stride + step * 8);
      magnitude[r] = Broadcast4(x + r * stride + step * 8 + 4);
    }
#pragma GCC unroll 4
    for (int v = 0; v < kVectors; ++v) {
      const __m256i weight = Load(w + v * 32);
#pragma GCC unroll 2
      for (int r = 0; r < kRows; ++r) {
        const __m256i pairs =
            _mm256_maddubs_epi16(magnitude[r], _mm256_sign_epi8(weight, input[r]));
        sum[r][v] = _mm256_add_epi32(sum[r][v], _mm256_madd_epi16(pairs, ones));
      }
    }
  }
#pragma GCC unroll 2
  for (int r = 0; r < kRows; ++r) {
#pragma GCC unroll 4
    for (int v = 0; v < kVectors; ++v) Store(sum[r][v], sums.data + r * sums.stride + v * 8);
  }
}

void DotInt8(const DotRows& rows, const int8_t* panel, int64_t inputs, const DotSums& sums) {
  int64_t r = 0;
  for (; r + 2 <= rows.count; r += 2) {
    Tile<2>(rows.data + r * rows.stride, rows.stride, panel, inputs / 4,
            {sums.data + r * sums.stride, sums.stride});
  }
  if (r < rows.count) {
    Tile<1>(rows.data + r * rows.stride, rows.stride, panel, inputs / 4,
            {sums.data + r * sums.stride, sums.stride});
  }
}

// The weights of one step, without their multipliers.
struct Int4Step {
  __m256i weights[kVectors];
};

// Sign-extends the low half of each byte.
inline __m256i SignedHalf(__m256i bytes) {
  const __m256i values =
      _mm256_setr_epi8(0, 1, 2, 3, 4, 5, 6, 7, -8, -7, -6, -5, -4, -3, -2, -1,  //
                       0, 1, 2, 3, 4, 5, 6, 7, -8, -7, -6, -5, -4, -3, -2, -1);
  return _mm256_shuffle_epi8(values, _mm256_and_si256(bytes, _mm256_set1_epi8(0x0f)));
}

inline Int4Step LoadInt4(const uint8_t* w) {
  const __m256i first = Load(w);
  const __m256i second = Load(w + 32);
  return {SignedHalf(first), SignedHalf(second), SignedHalf(_mm256_srli_epi16(first, 4)),
          SignedHalf(_mm256_srli_epi16(second, 4))};
}

inline Int4Step LoadUnpacked(const uint8_t* w) {
  return {Load(w), Load(w + 32), Load(w + 64), Load(w + 96)};
}

template <int kRows, bool kUnpacked>
void TileInt4(const uint8_t* x, int64_t stride, const uint8_t* weights, const DotGroups& groups,
              int64_t steps, const DotSums& sums) {
  alignas(32) int32_t total[kRows][kPanelOutputs] = {};
  for (int64_t begin = 0; begin < steps; begin += kStepsIn16Bits) {
    __m256i sum[kRows][kVectors];
    for (auto& row : sum) {
      for (__m256i& v : row) v = _mm256_setzero_si256();
    }
    for (int64_t step = begin; step < begin + kStepsIn16Bits; ++step) {
      const uint8_t* const w = weights + step * (kUnpacked ? kStepBytes : kInt4StepBytes);
      if constexpr (!kUnpacked) __builtin_prefetch(w + kPrefetchBytes);
      const Int4Step loaded = kUnpacked ? LoadUnpacked(w) : LoadInt4(w);
#pragma GCC unroll 2
      for (int r = 0; r < kRows; ++r) {
        const __m256i input = Broadcast4(x + r * stride + step * 4);
#pragma GCC unroll 4
        for (int v = 0; v < kVectors; ++v) {
          sum[r][v] = _mm256_add_epi16(sum[r][v], _mm256_maddubs_epi16(input, loaded.weights[v]));
        }
      }
    }
    const uint8_t* const multipliers =
        groups.multipliers + begin * 4 / groups.inputs * kPanelOutputs;
#pragma GCC unroll 4
    for (int v = 0; v < kVectors; ++v) {
      const __m256i wide = _mm256_cvtepu8_epi32(
          _mm_loadl_epi64(reinterpret_cast<const __m128i*>(multipliers + v * 8)));
      const __m256i both = _mm256_or_si256(wide, _mm256_slli_epi32(wide, 16));
#pragma GCC unroll 2
      for (int r = 0; r < kRows; ++r) {
        Store(_mm256_add_epi32(Load(&total[r][v * 8]), _mm256_madd_epi16(sum[r][v], both)),
              &total[r][v * 8]);
      }
    }
  }
#pragma GCC unroll 2
  for (int r = 0; r < kRows; ++r) {
    __builtin_memcpy(sums.data + r * sums.stride, total[r], sizeof(total[r]));
  }
}

template <bool kUnpacked>
void DotInt4Rows(const DotRows& rows, const uint8_t* panel, const DotGroups& groups, int64_t inputs,
                 const DotSums& sums) {
  int64_t r = 0;
  for (; r + 2 <= rows.count; r += 2) {
    TileInt4<2, kUnpacked>(rows.data + r * rows.stride, rows.stride, panel, groups, inputs / 4,
                           {sums.data + r * sums.stride, sums.stride});
  }
  if (r < rows.count) {
    TileInt4<1, kUnpacked>(rows.data + r * rows.stride, rows.stride, panel, groups, inputs / 4,
                           {sums.data + r * sums.stride, sums.stride});
  }
}

void DotInt4(const DotRows& rows, const uint8_t* panel, const DotGroups& groups, int64_t inputs,
             const DotSums& sums) {
  DotInt4Rows<false>(rows, panel, groups, inputs, sums);
}

void DotUnpacked(const DotRows& rows, const int8_t* unpacked, const DotGroups& groups,
                 int64_t inputs, const DotSums& sums) {
  DotInt4Rows<true>(rows, reinterpret_cast<const uint8_t*>(unpacked), groups, inputs, sums);
}

// To the int4 weights as bytes: the multipliers come after the sums.
void UnpackInt4(const uint8_t* panel, const DotGroups& /*groups*/, int64_t inputs,
                int8_t* unpacked) {
  for (int64_t step = 0; step < inputs / 4; ++step) {
    const Int4Step loaded = LoadInt4(panel + step * kInt4StepBytes);
    for (int v = 0; v < kVectors; ++v) {
      Store(loaded.weights[v], unpacked + step * kStepBytes + v * 32);
    }
  }
}

HWY_POP_ATTRIBUTES

}  // namespace

bool HasAvx2() { return __builtin_cpu_supports("avx2") != 0; }

const Int8DotKernel kAvx2Dot = {
    .name = "avx2",
    .prepared_bytes = 2,
    .prepare_rows = PrepareRows,
    .dot_int8 = DotInt8,
    .int4_unpack_rows = 5,
    .dot_int4 = DotInt4,
    .unpack_int4 = UnpackInt4,
    .dot_unpacked = DotUnpacked,
};

}  // namespace hocket

#endif
