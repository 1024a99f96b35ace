// Highway 1.0.3 has no target with bf16 dot products, so these kernels name their instructions.
#include "runtime/kernels/attention_kernels.h"

#if defined(__x86_64__)

#include <immintrin.h>

// GCC 12's headers leave what a mask hides uninitialized.
#pragma GCC diagnostic ignored "-Wuninitialized"
#pragma GCC diagnostic ignored "-Wmaybe-uninitialized"

#pragma GCC push_options
#pragma GCC target("avx512f,avx512bw,avx512vl,avx512dq,avx512bf16,fma")

namespace hocket {
namespace {

using Pairs = __m512bh;  // 16 pairs; lanes as in f32.

inline Pairs LoadPairs(const std::byte* from) { return (Pairs)_mm512_loadu_si512(from); }

// The same pair, which is 4 bytes at `from`, in every lane.
inline Pairs SpreadPair(const std::byte* from) {
  return (Pairs)_mm512_set1_epi32(*reinterpret_cast<const int32_t*>(from));
}

// sums[q][u] += a[q] * b[u], a pair at a time. rows[u] are 16 pairs each.
template <int kQueries, int kUnits>
inline void AddStep(const std::byte* a, const std::byte* const (&rows)[kUnits],
                    __m512 (&sums)[kQueries][kUnits]) {
  Pairs b[kUnits];
#pragma GCC unroll 8
  for (int u = 0; u < kUnits; ++u) b[u] = LoadPairs(rows[u]);
#pragma GCC unroll 8
  for (int q = 0; q < kQueries; ++q) {
    const Pairs pair = SpreadPair(a + q * kOperandRowBytes);
#pragma GCC unroll 8
    for (int u = 0; u < kUnits; ++u) sums[q][u] = _mm512_dpbf16_ps(sums[q][u], pair, b[u]);
  }
}

template <int kQueries, int kUnits>
inline void SetZero(__m512 (&sums)[kQueries][kUnits]) {
#pragma GCC unroll 8
  for (int q = 0; q < kQueries; ++q) {
#pragma GCC unroll 8
    for (int u = 0; u < kUnits; ++u) sums[q][u] = _mm512_setzero_ps();
  }
}

template <int kQueries, int kUnits>
void Score(const ScoreWork& work) {
  __m512 sums[kQueries][kUnits];
  SetZero(sums);
  const std::byte* rows[kUnits];
#pragma GCC unroll 8
  for (int u = 0; u < kUnits; ++u) rows[u] = work.keys[u];
  const std::byte* a = work.queries;
  for (int32_t step = 0; step < work.steps; ++step, a += 4) {
    AddStep(a, rows, sums);
#pragma GCC unroll 8
    for (int u = 0; u < kUnits; ++u) rows[u] += work.key_stride;
  }
#pragma GCC unroll 8
  for (int u = 0; u < kUnits; ++u) {
    const __m512 scale = work.scales == nullptr ? _mm512_set1_ps(1.0f)
                                                : _mm512_loadu_ps(work.scales + u * kUnitTokens);
#pragma GCC unroll 8
    for (int q = 0; q < kQueries; ++q) {
      _mm512_storeu_ps(work.scores + q * kScoreStride + u * kUnitTokens,
                       _mm512_mul_ps(sums[q][u], scale));
    }
  }
}

template <int kQueries, int kUnits>
inline void AddRows(const std::byte* row, int64_t stride, int32_t count, const std::byte*& a,
                    __m512 (&sums)[kQueries][kUnits]) {
  for (int32_t i = 0; i < count; ++i, row += stride, a += 4) {
    const std::byte* rows[kUnits];
#pragma GCC unroll 8
    for (int u = 0; u < kUnits; ++u) rows[u] = row + u * kUnitTokens * 4;
    AddStep(a, rows, sums);
  }
}

template <int kQueries, int kUnits>
void Weigh(const WeighWork& work) {
  constexpr int32_t kUnitSteps = kUnitTokens / 2;
  __m512 sums[kQueries][kUnits];
  SetZero(sums);
  const std::byte* a = work.weights;
  int32_t unit = 0;
  int32_t left = work.steps;
  for (; left > 0; ++unit, left -= kUnitSteps) {
    AddRows(work.values[unit] + work.value_offset, work.value_stride,
            left < kUnitSteps ? left : kUnitSteps, a, sums);
  }
  if (work.last != nullptr) {
    AddRows(work.last + work.value_offset, work.value_stride, 1, a, sums);
  }
#pragma GCC unroll 8
  for (int q = 0; q < kQueries; ++q) {
#pragma GCC unroll 8
    for (int u = 0; u < kUnits; ++u) {
      // Masked positions may have turned 0 into -0 and back.
      _mm512_storeu_ps(work.out + q * work.out_stride + u * kUnitTokens,
                       _mm512_add_ps(sums[q][u], _mm512_setzero_ps()));
    }
  }
}

// 2^x for x <= 0 to within 4e-6 of its size, exact at 0.
inline __m512 Exp2(__m512 x) {
  const __m512 clamped = _mm512_max_ps(x, _mm512_set1_ps(-150.0f));
  const __m512 whole = _mm512_roundscale_ps(clamped, _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC);
  const __m512 part = _mm512_sub_ps(clamped, whole);
  __m512 y = _mm512_fmadd_ps(_mm512_set1_ps(0.00978291221f), part, _mm512_set1_ps(0.0559768826f));
  y = _mm512_fmadd_ps(y, part, _mm512_set1_ps(0.240207106f));
  y = _mm512_fmadd_ps(y, part, _mm512_set1_ps(0.693113625f));
  y = _mm512_fmadd_ps(y, part, _mm512_set1_ps(1.0f));
  return _mm512_scalef_ps(y, whole);
}

// Weights of 16 positions, of which `own` are seen.
inline __m256i WeighUnit(const SoftmaxWork& work, int32_t position, __mmask16 own, __m512 largest,
                         __m512& sum) {
  const __m512 score = _mm512_loadu_ps(work.scores + position);
  __m512 weight = _mm512_maskz_mov_ps(own, Exp2(_mm512_sub_ps(score, largest)));
  sum = _mm512_add_ps(sum, weight);
  if (work.value_scales != nullptr) {
    weight = _mm512_maskz_mul_ps(own, weight, _mm512_loadu_ps(work.value_scales + position));
  }
  return (__m256i)_mm512_cvtneps_pbh(weight);
}

void Softmax(SoftmaxWork& work) {
  const int32_t whole = work.visible / kUnitTokens * kUnitTokens;
  const __mmask16 own = static_cast<__mmask16>((1u << (work.visible - whole)) - 1);
  __m512 most = _mm512_set1_ps(work.scores[0]);
  for (int32_t p = 0; p < whole; p += kUnitTokens) {
    most = _mm512_max_ps(most, _mm512_loadu_ps(work.scores + p));
  }
  if (whole < work.visible) {
    most = _mm512_mask_max_ps(most, own, most, _mm512_loadu_ps(work.scores + whole));
  }
  work.largest = _mm512_reduce_max_ps(most);
  const __m512 largest = _mm512_set1_ps(work.largest);
  __m512 sum = _mm512_setzero_ps();
  // Weights take half the room of the scores they replace, from the front.
  std::byte* to = reinterpret_cast<std::byte*>(work.scores);
  int32_t p = 0;
  for (; p < whole; p += kUnitTokens, to += 32) {
    const __m256i weights = WeighUnit(work, p, 0xffff, largest, sum);
    _mm256_storeu_si256(reinterpret_cast<__m256i*>(to), weights);
  }
  if (p < work.visible) {
    const __m256i weights = WeighUnit(work, p, own, largest, sum);
    _mm256_storeu_si256(reinterpret_cast<__m256i*>(to), weights);
    p += kUnitTokens, to += 32;
  }
  for (; p < work.padded; p += kUnitTokens, to += 32) {
    _mm256_storeu_si256(reinterpret_cast<__m256i*>(to), _mm256_setzero_si256());
  }
  // Halves added to halves, in one order.
  work.sum = _mm512_reduce_add_ps(sum);
}

void RoundQuery(const float* from, int32_t head_dim, std::byte* to) {
  for (int32_t i = 0; i < head_dim; i += 8) {
    const __m128bh rounded = _mm256_cvtneps_pbh(_mm256_loadu_ps(from + i));
    _mm_storeu_si128(reinterpret_cast<__m128i*>(to + i * 2), (__m128i)rounded);
  }
}

void ExpandInt8(const int8_t* from, int64_t elements, uint16_t* to) {
  for (int64_t i = 0; i < elements; i += 32) {
    const __m256i bytes = _mm256_loadu_si256(reinterpret_cast<const __m256i*>(from + i));
    const __m512 low = _mm512_cvtepi32_ps(_mm512_cvtepi8_epi32(_mm256_castsi256_si128(bytes)));
    const __m512 high =
        _mm512_cvtepi32_ps(_mm512_cvtepi8_epi32(_mm256_extracti128_si256(bytes, 1)));
    _mm512_storeu_si512(to + i, (__m512i)_mm512_cvtne2ps_pbh(high, low));
  }
}

template <int kQueries>
void SetKernels(AttentionKernels& kernels) {
  auto& score = kernels.score[kQueries - 1];
  score[0] = Score<kQueries, 1>;
  score[1] = Score<kQueries, 2>;
  score[2] = Score<kQueries, 3>;
  score[3] = Score<kQueries, 4>;
  auto& weigh = kernels.weigh[kQueries - 1];
  weigh[0] = Weigh<kQueries, 1>;
  weigh[1] = Weigh<kQueries, 2>;
  weigh[2] = Weigh<kQueries, 3>;
  weigh[3] = Weigh<kQueries, 4>;
}

}  // namespace
}  // namespace hocket

#pragma GCC pop_options

namespace hocket {
namespace {

AttentionKernels MakeKernels() {
  AttentionKernels kernels;
  kernels.name = "avx512_bf16";
  kernels.round_query = RoundQuery;
  kernels.softmax = Softmax;
  kernels.expand = ExpandInt8;
  SetKernels<1>(kernels);
  SetKernels<2>(kernels);
  SetKernels<3>(kernels);
  SetKernels<4>(kernels);
  SetKernels<5>(kernels);
  SetKernels<6>(kernels);
  return kernels;
}

}  // namespace

const AttentionKernels* Avx512Bf16AttentionKernels() {
  static const bool available =
      __builtin_cpu_supports("avx512bf16") && __builtin_cpu_supports("avx512bw") &&
      __builtin_cpu_supports("avx512vl") && __builtin_cpu_supports("avx512dq");
  if (!available) return nullptr;
  static const AttentionKernels kernels = MakeKernels();
  return &kernels;
}

}  // namespace hocket

#else

namespace hocket {
const AttentionKernels* Avx512Bf16AttentionKernels() { return nullptr; }
}  // namespace hocket

#endif
