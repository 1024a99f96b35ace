// AVX2 has no instruction that adds products of bytes to 32 bits. So
//   int8, one row: the input's halves, each at most 15, times the weight: pairs' sums in 16 bits,
//   of
//         which 8 fit. It takes the fewest instructions for a weight, and memory is what one row
//         waits for.
//   int8: both sides are widened to 16 bits, whose products are added in pairs to 32 bits. To
//         multiply |x| by the weight with x's sign, as bytes, would take three instructions on the
//         two ports that multiply, where this takes two (Zen 4: 0.7 of the time).
//   int4: x <= 255 times q in [-8, 7], added in pairs to 16 bits, of which 8 fit before they must
//   be
//         widened: 8 * 2 * 255 * 8 < 2^15. That instruction also multiplies by the multiplier.
#include "runtime/kernels/int8_dot_kernels.h"

#if defined(__x86_64__)

#include <immintrin.h>

#include "hwy/base.h"

namespace hocket {
namespace {

inline constexpr int64_t kStepBytes = kPanelOutputs * 4;
inline constexpr int64_t kInt4StepBytes = kStepBytes / 2;
inline constexpr int64_t kPrefetchBytes = 4096;
inline constexpr int64_t kPreparedStepBytes = 8;  // Of a row, for 4 inputs.
// Steps of 4 inputs whose products of a half byte and a byte an int16 holds.
inline constexpr int64_t kStepsIn16Bits = 8;

// A tile takes the whole panel, or for more rows one half after the other: 16 registers hold 12
// sums.
inline constexpr int kMostRowsOfWholePanel = 3;
inline constexpr int kMostTileRows = 6;

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

// Without this GCC 12 orders a tile's instructions so that half of its sums live on the stack.
inline void KeepInRegister(__m256i& v) { asm volatile("" : "+x"(v)); }

// The even and the odd one of each two bytes as int16.
inline __m256i SignedEven(__m256i v) { return _mm256_srai_epi16(_mm256_slli_epi16(v, 8), 8); }
inline __m256i SignedOdd(__m256i v) { return _mm256_srai_epi16(v, 8); }

// [inputs / 4] runs of 8 bytes: of one row, the low halves of 4 inputs and their high halves; of
// more rows, inputs 0, 2, 1, 3 as 16-bit numbers.
void PrepareRows(const DotRows& rows, int64_t inputs, uint8_t* prepared) {
  const bool one_row = rows.count == 1;
  const __m256i mask = one_row ? _mm256_set1_epi8(0x0f) : _mm256_set1_epi16(0x00ff);
  const __m128i shift = _mm_cvtsi32_si128(one_row ? 4 : 8);
  for (int64_t r = 0; r < rows.count; ++r) {
    const uint8_t* const from = rows.data + r * rows.stride;
    uint8_t* const to = prepared + r * inputs * 2;
    for (int64_t i = 0; i < inputs; i += 32) {
      // Interleaving works within 128 bits; this puts together what belongs together after it.
      const __m256i x = _mm256_permute4x64_epi64(Load(from + i), 0xd8);
      const __m256i first = _mm256_and_si256(x, mask);
      const __m256i second = _mm256_and_si256(_mm256_srl_epi16(x, shift), mask);
      Store(_mm256_unpacklo_epi32(first, second), to + i * 2);
      Store(_mm256_unpackhi_epi32(first, second), to + i * 2 + 32);
    }
  }
}

// Sums of one row and the panel.
void OneRow(const DotRows& row, const DotPanel& panel, const DotSums& sums) {
  const uint8_t* x = row.data;
  const uint8_t* weights = panel.weights;
  const __m256i ones = _mm256_set1_epi16(1);
  const __m256i sixteens = _mm256_set1_epi16(16);
  __m256i sum[4];
  for (__m256i& v : sum) v = _mm256_setzero_si256();
  for (int64_t step = 0; step < panel.inputs / 4; step += kStepsIn16Bits) {
    __m256i low[4];
    __m256i high[4];
#pragma GCC unroll 8
    for (int s = 0; s < kStepsIn16Bits; ++s) {
      const __m256i low_input = Broadcast4(x);
      const __m256i high_input = Broadcast4(x + 4);
      __builtin_prefetch(weights + kPrefetchBytes);
      __builtin_prefetch(weights + kPrefetchBytes + 64);
#pragma GCC unroll 4
      for (int v = 0; v < 4; ++v) {
        const __m256i weight = Load(weights + v * 32);
        const __m256i low_products = _mm256_maddubs_epi16(low_input, weight);
        const __m256i high_products = _mm256_maddubs_epi16(high_input, weight);
        low[v] = s == 0 ? low_products : _mm256_add_epi16(low[v], low_products);
        high[v] = s == 0 ? high_products : _mm256_add_epi16(high[v], high_products);
        KeepInRegister(low[v]);
        KeepInRegister(high[v]);
      }
      x += kPreparedStepBytes;
      weights += kStepBytes;
    }
#pragma GCC unroll 4
    for (int v = 0; v < 4; ++v) {
      sum[v] = _mm256_add_epi32(sum[v], _mm256_madd_epi16(low[v], ones));
      sum[v] = _mm256_add_epi32(sum[v], _mm256_madd_epi16(high[v], sixteens));
    }
  }
#pragma GCC unroll 4
  for (int v = 0; v < 4; ++v) Store(sum[v], sums.data + v * 8);
}

// Sums of kRows rows and kVectors * 8 outputs. weights: of the first output.
template <int kRows, int kVectors>
void Tile(const DotRows& rows, const uint8_t* weights, int64_t steps, const DotSums& sums) {
  const uint8_t* x = rows.data;
  __m256i sum[kRows][kVectors];
#pragma GCC unroll 8
  for (int r = 0; r < kRows; ++r) {
#pragma GCC unroll 4
    for (int v = 0; v < kVectors; ++v) sum[r][v] = _mm256_setzero_si256();
  }
  for (int64_t step = 0; step < steps; step += 2) {
    // Two steps: inputs 0 and 2, then 1 and 3 of each.
#pragma GCC unroll 4
    for (int half_step = 0; half_step < 4; ++half_step) {
      const bool odd = half_step % 2 == 1;
      const uint8_t* const w = weights + half_step / 2 * kStepBytes;
      __builtin_prefetch(w + kPrefetchBytes + (odd ? 64 : 0));
      __m256i weight[kVectors];
#pragma GCC unroll 4
      for (int v = 0; v < kVectors; ++v) {
        const __m256i bytes = Load(w + v * 32);
        weight[v] = odd ? SignedOdd(bytes) : SignedEven(bytes);
      }
#pragma GCC unroll 8
      for (int r = 0; r < kRows; ++r) {
        const __m256i input = Broadcast4(x + r * rows.stride + half_step * 4);
#pragma GCC unroll 4
        for (int v = 0; v < kVectors; ++v) {
          sum[r][v] = _mm256_add_epi32(sum[r][v], _mm256_madd_epi16(input, weight[v]));
          KeepInRegister(sum[r][v]);
        }
      }
    }
    x += 2 * kPreparedStepBytes;
    weights += 2 * kStepBytes;
  }
#pragma GCC unroll 8
  for (int r = 0; r < kRows; ++r) {
#pragma GCC unroll 4
    for (int v = 0; v < kVectors; ++v) Store(sum[r][v], sums.data + r * sums.stride + v * 8);
  }
}

template <int kRows>
void Int8Rows(const DotRows& rows, const DotPanel& panel, const DotSums& sums) {
  const int64_t steps = panel.inputs / 4;
  if constexpr (kRows <= kMostRowsOfWholePanel) {
    Tile<kRows, 4>(rows, panel.weights, steps, sums);
  } else {
    Tile<kRows, 2>(rows, panel.weights, steps, sums);
    Tile<kRows, 2>(rows, panel.weights + kStepBytes / 2, steps,
                   {sums.data + kPanelOutputs / 2, sums.stride});
  }
}

// The int4 weights of one load: vector 0 for 8 outputs, vector 1 for the outputs 16 later.
struct Int4Pair {
  __m256i weights[2];
};

// Sign-extends the low half of each byte.
inline __m256i SignedHalf(__m256i bytes) {
  const __m256i values =
      _mm256_setr_epi8(0, 1, 2, 3, 4, 5, 6, 7, -8, -7, -6, -5, -4, -3, -2, -1,  //
                       0, 1, 2, 3, 4, 5, 6, 7, -8, -7, -6, -5, -4, -3, -2, -1);
  return _mm256_shuffle_epi8(values, _mm256_and_si256(bytes, _mm256_set1_epi8(0x0f)));
}

inline Int4Pair LoadInt4(const uint8_t* weights) {
  const __m256i bytes = Load(weights);
  return {SignedHalf(bytes), SignedHalf(_mm256_srli_epi16(bytes, 4))};
}

// Sums of kRows rows and kPairs * 16 outputs: 8 from `first` on for each pair, and 8 more 16 later.
template <int kRows, int kPairs, bool kUnpacked>
void Int4Tile(const DotRows& rows, const DotPanel& panel, int64_t first, const DotSums& sums) {
  const auto total = [&](int r, int v) {
    return sums.data + r * sums.stride + first + v / 2 * 8 + v % 2 * 16;
  };
  for (int r = 0; r < kRows; ++r) {
    for (int v = 0; v < kPairs * 2; ++v) Store(_mm256_setzero_si256(), total(r, v));
  }
  const int64_t steps = panel.inputs / 4;
  constexpr int64_t kAdvance = kUnpacked ? kPairs * 64 : kInt4StepBytes;
  const uint8_t* weights = panel.weights + (kUnpacked ? first / 8 * 64 * steps : first / 8 * 32);
  const uint8_t* x = rows.data;
  const int group_bits = panel.group == 32 ? 5 : 7;
  for (int64_t begin = 0; begin < steps; begin += kStepsIn16Bits) {
    __m256i sum[kRows][kPairs * 2];
#pragma GCC unroll 8
    for (int step = 0; step < kStepsIn16Bits; ++step) {
      if constexpr (!kUnpacked) __builtin_prefetch(weights + kPrefetchBytes);
      Int4Pair pair[kPairs];
#pragma GCC unroll 2
      for (int p = 0; p < kPairs; ++p) {
        if constexpr (kUnpacked) {
          pair[p] = {Load(weights + p * 64), Load(weights + p * 64 + 32)};
        } else {
          pair[p] = LoadInt4(weights + p * 32);
        }
      }
#pragma GCC unroll 8
      for (int r = 0; r < kRows; ++r) {
        const __m256i input = Broadcast4(x + r * rows.stride);
#pragma GCC unroll 4
        for (int v = 0; v < kPairs * 2; ++v) {
          const __m256i products = _mm256_maddubs_epi16(input, pair[v / 2].weights[v % 2]);
          sum[r][v] = step == 0 ? products : _mm256_add_epi16(sum[r][v], products);
          KeepInRegister(sum[r][v]);
        }
      }
      x += 4;
      weights += kAdvance;
    }
    const uint8_t* const multipliers =
        panel.multipliers + (begin * 4 >> group_bits) * kPanelOutputs + first;
#pragma GCC unroll 4
    for (int v = 0; v < kPairs * 2; ++v) {
      const __m256i wide = _mm256_cvtepu8_epi32(
          _mm_loadl_epi64(reinterpret_cast<const __m128i*>(multipliers + v / 2 * 8 + v % 2 * 16)));
      const __m256i both = _mm256_or_si256(wide, _mm256_slli_epi32(wide, 16));
#pragma GCC unroll 8
      for (int r = 0; r < kRows; ++r) {
        Store(_mm256_add_epi32(Load(total(r, v)), _mm256_madd_epi16(sum[r][v], both)), total(r, v));
      }
    }
  }
}

// To [2][inputs / 4][2][8 outputs][4] bytes. The multipliers come after the sums.
void UnpackInt4(const DotPanel& panel, uint8_t* unpacked) {
  const int64_t steps = panel.inputs / 4;
  for (int64_t step = 0; step < steps; ++step) {
    __builtin_prefetch(panel.weights + step * kInt4StepBytes + kPrefetchBytes);
    for (int64_t half = 0; half < 2; ++half) {
      const Int4Pair pair = LoadInt4(panel.weights + step * kInt4StepBytes + half * 32);
      uint8_t* const to = unpacked + (half * steps + step) * 64;
      Store(pair.weights[0], to);
      Store(pair.weights[1], to + 32);
    }
  }
}

template <int kRows, bool kUnpacked>
void Int4Rows(const DotRows& rows, const DotPanel& panel, const DotSums& sums) {
  if constexpr (kRows <= kMostRowsOfWholePanel && !kUnpacked) {
    Int4Tile<kRows, 2, false>(rows, panel, 0, sums);
  } else {
    Int4Tile<kRows, 1, kUnpacked>(rows, panel, 0, sums);
    Int4Tile<kRows, 1, kUnpacked>(rows, panel, 8, sums);
  }
}

using RowsFunction = void (*)(const DotRows&, const DotPanel&, const DotSums&);

// As few tiles as will do, as even as can be. by_rows[n]: for n + 1 rows.
void InTiles(const RowsFunction (&by_rows)[kMostTileRows], const DotRows& rows,
             const DotPanel& panel, const DotSums& sums) {
  const int64_t tiles = (rows.count + kMostTileRows - 1) / kMostTileRows;
  for (int64_t tile = 0; tile < tiles; ++tile) {
    const int64_t begin = rows.count * tile / tiles;
    const int64_t count = rows.count * (tile + 1) / tiles - begin;
    by_rows[count - 1]({rows.data + begin * rows.stride, rows.stride, count}, panel,
                       {sums.data + begin * sums.stride, sums.stride});
  }
}

void DotInt8(const DotRows& rows, const DotPanel& panel, const DotSums& sums) {
  if (rows.count == 1) return OneRow(rows, panel, sums);
  static constexpr RowsFunction kByRows[] = {Int8Rows<1>, Int8Rows<2>, Int8Rows<3>,
                                             Int8Rows<4>, Int8Rows<5>, Int8Rows<6>};
  InTiles(kByRows, rows, panel, sums);
}

template <bool kUnpacked>
void DotInt4(const DotRows& rows, const DotPanel& panel, const DotSums& sums) {
  static constexpr RowsFunction kByRows[] = {Int4Rows<1, kUnpacked>, Int4Rows<2, kUnpacked>,
                                             Int4Rows<3, kUnpacked>, Int4Rows<4, kUnpacked>,
                                             Int4Rows<5, kUnpacked>, Int4Rows<6, kUnpacked>};
  InTiles(kByRows, rows, panel, sums);
}

HWY_POP_ATTRIBUTES

}  // namespace

bool HasAvx2() { return __builtin_cpu_supports("avx2") != 0; }

const Int8DotKernel kAvx2Dot = {
    .name = "avx2",
    .int8 = {.prepared_bytes = 2, .prepare_rows = PrepareRows, .dot = DotInt8},
    .int4 = {.dot = DotInt4<false>,
             .unpack_rows = 25,
             .unpacked_bytes = 1,
             .unpack = UnpackInt4,
             .dot_unpacked = DotInt4<true>},
};

}  // namespace hocket

#endif
