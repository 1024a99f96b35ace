// Highway 1.0.3 has no target with bf16 dot products, so these kernels name their instructions.
#include "runtime/kernels/attention_kernels.h"

#if defined(__x86_64__)

#include <immintrin.h>

// GCC 12's headers leave what a mask hides uninitialized.
#pragma GCC diagnostic ignored "-Wuninitialized"
#pragma GCC diagnostic ignored "-Wmaybe-uninitialized"

#pragma GCC push_options
#pragma GCC target("avx512f,avx512bw,avx512vl,avx512dq,avx512bf16,avx512vnni,fma")

namespace hocket {
namespace {

// How pairs of a type are multiplied: sums of 16 lanes += a pair of the query's, in every lane, *
// 16 pairs of keys or values.
struct Bf16Operand {
  static constexpr int kLaneBytes = 4;
  using Sum = __m512;
  static Sum Zero() { return _mm512_setzero_ps(); }
  static __m512i Load(const std::byte* from) { return _mm512_loadu_si512(from); }
  static Sum MulAdd(Sum sum, __m512i a, __m512i b) {
    return _mm512_dpbf16_ps(sum, (__m512bh)a, (__m512bh)b);
  }
  static __m512 Finish(Sum sum) { return sum; }
};

struct Int8Operand {
  static constexpr int kLaneBytes = 2;
  using Sum = __m512i;
  static Sum Zero() { return _mm512_setzero_si512(); }
  static __m512i Load(const std::byte* from) {
    return _mm512_cvtepi8_epi16(_mm256_loadu_si256(reinterpret_cast<const __m256i*>(from)));
  }
  static Sum MulAdd(Sum sum, __m512i a, __m512i b) {
    sum = _mm512_dpwssd_epi32(sum, a, b);
    // Else GCC 12 has more sums under way than there are registers.
    asm volatile("" : "+v"(sum));
    return sum;
  }
  static __m512 Finish(Sum sum) { return _mm512_cvtepi32_ps(sum); }
};

// sums[q][u] += a[q] * rows[u], a pair at a time.
template <class Operand, int kQueries, int kUnits>
inline void AddStep(const std::byte* a, const std::byte* const (&rows)[kUnits],
                    typename Operand::Sum (&sums)[kQueries][kUnits]) {
  __m512i b[kUnits];
#pragma GCC unroll 8
  for (int u = 0; u < kUnits; ++u) b[u] = Operand::Load(rows[u]);
#pragma GCC unroll 8
  for (int q = 0; q < kQueries; ++q) {
    int32_t bits;
    __builtin_memcpy(&bits, a + q * kOperandRowBytes, sizeof(bits));
    const __m512i pair = _mm512_set1_epi32(bits);
#pragma GCC unroll 8
    for (int u = 0; u < kUnits; ++u) sums[q][u] = Operand::MulAdd(sums[q][u], pair, b[u]);
  }
}

template <class Operand, int kQueries, int kUnits>
inline void SetZero(typename Operand::Sum (&sums)[kQueries][kUnits]) {
#pragma GCC unroll 8
  for (int q = 0; q < kQueries; ++q) {
#pragma GCC unroll 8
    for (int u = 0; u < kUnits; ++u) sums[q][u] = Operand::Zero();
  }
}

template <class Operand, int kQueries, int kUnits>
void Score(const ScoreWork& work) {
  typename Operand::Sum sums[kQueries][kUnits];
  SetZero<Operand>(sums);
  const std::byte* rows[kUnits];
#pragma GCC unroll 8
  for (int u = 0; u < kUnits; ++u) rows[u] = work.keys[u];
  const std::byte* a = work.queries;
  for (int32_t step = 0; step < work.steps; ++step, a += 4) {
    AddStep<Operand>(a, rows, sums);
#pragma GCC unroll 8
    for (int u = 0; u < kUnits; ++u) rows[u] += work.key_stride;
  }
#pragma GCC unroll 8
  for (int u = 0; u < kUnits; ++u) {
#pragma GCC unroll 8
    for (int q = 0; q < kQueries; ++q) {
      __m512 score = Operand::Finish(sums[q][u]);
      if constexpr (Operand::kLaneBytes == 2) {
        const __m512 key_scale = _mm512_loadu_ps(work.key_scales + u * kUnitTokens);
        const __m512 query_scale = _mm512_set1_ps(work.query_scales[q]);
        score = _mm512_mul_ps(score, _mm512_mul_ps(query_scale, key_scale));
      }
      _mm512_storeu_ps(work.scores + q * kScoreStride + u * kUnitTokens, score);
    }
  }
}

template <class Operand, int kQueries, int kUnits>
void Weigh(const WeighWork& work) {
  constexpr int32_t kUnitSteps = kUnitTokens / 2;
  typename Operand::Sum sums[kQueries][kUnits];
  SetZero<Operand>(sums);
  const std::byte* a = work.weights;
  const std::byte* const* unit = work.values;
  const std::byte* last = work.last;
  int32_t left = work.steps;
  int32_t fetched = 0;
  while (left > 0 || last != nullptr) {
    const std::byte* row = left > 0 ? *unit++ : last;
    if (left <= 0) last = nullptr;
    row += work.value_offset;
    const int32_t count = left > kUnitSteps ? kUnitSteps : left > 0 ? left : 1;
    left -= count;
    if (work.fetch != nullptr) work.fetch->Fetch(fetched++);
    for (int32_t i = 0; i < count; ++i, row += work.value_stride, a += 4) {
      const std::byte* rows[kUnits];
#pragma GCC unroll 8
      for (int u = 0; u < kUnits; ++u) rows[u] = row + u * kUnitTokens * Operand::kLaneBytes;
      AddStep<Operand>(a, rows, sums);
    }
  }
#pragma GCC unroll 8
  for (int q = 0; q < kQueries; ++q) {
#pragma GCC unroll 8
    for (int u = 0; u < kUnits; ++u) {
      __m512 sum = Operand::Finish(sums[q][u]);
      if constexpr (Operand::kLaneBytes == 2) {
        sum = _mm512_mul_ps(sum, _mm512_set1_ps(work.weight_scales[q]));
      } else {
        // Masked positions may have turned 0 into -0 and back.
        sum = _mm512_add_ps(sum, _mm512_setzero_ps());
      }
      _mm512_storeu_ps(work.out + q * work.out_stride + u * kUnitTokens, sum);
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

// Weights of a unit's first positions, as many as `own` has bits, and 0 for the others.
inline __m512 UnitWeights(const float* scores, __mmask16 own, __m512 largest) {
  return _mm512_maskz_mov_ps(own, Exp2(_mm512_sub_ps(_mm512_loadu_ps(scores), largest)));
}

inline __mmask16 Own(int32_t visible, int32_t position) {
  const int32_t count = visible - position;
  return count >= kUnitTokens ? 0xffff : count <= 0 ? 0 : static_cast<__mmask16>((1u << count) - 1);
}

inline float Largest(const float* values, int32_t count) {
  __m512 most = _mm512_set1_ps(values[0]);
  for (int32_t p = 0; p < count; p += kUnitTokens) {
    most = _mm512_mask_max_ps(most, Own(count, p), most, _mm512_loadu_ps(values + p));
  }
  return _mm512_reduce_max_ps(most);
}

// Weights take half the room of the scores they replace, from the front.
template <class Operand>
void Softmax(SoftmaxWork& work) {
  work.largest = Largest(work.scores, work.visible);
  const __m512 largest = _mm512_set1_ps(work.largest);
  __m512 inverse = _mm512_setzero_ps();
  if constexpr (Operand::kLaneBytes == 2) {
    // No weight is more than 1, so none is more than its position's scale.
    const float most = Largest(work.value_scales, work.visible);
    work.weight_scale = most < 1e-30f ? 0.0f : most / 32767.0f;
    inverse = _mm512_set1_ps(most < 1e-30f ? 0.0f : 32767.0f / most);
  }
  __m512 sum = _mm512_setzero_ps();
  auto* to = reinterpret_cast<__m256i*>(work.scores);
  for (int32_t p = 0; p < work.padded; p += kUnitTokens, ++to) {
    const __mmask16 own = Own(work.visible, p);
    __m512 weights = UnitWeights(work.scores + p, own, largest);
    sum = _mm512_add_ps(sum, weights);
    if constexpr (Operand::kLaneBytes == 2) {
      weights = _mm512_maskz_mul_ps(own, weights, _mm512_loadu_ps(work.value_scales + p));
      const __m512i steps = _mm512_cvtps_epi32(_mm512_mul_ps(weights, inverse));
      _mm256_storeu_si256(to, _mm512_cvtsepi32_epi16(steps));
    } else {
      _mm256_storeu_si256(to, (__m256i)_mm512_cvtneps_pbh(weights));
    }
  }
  work.sum = _mm512_reduce_add_ps(sum);
}

float RoundQuery(const float* from, int32_t head_dim, std::byte* to) {
  for (int32_t i = 0; i < head_dim; i += 8) {
    const __m128bh rounded = _mm256_cvtneps_pbh(_mm256_loadu_ps(from + i));
    _mm_storeu_si128(reinterpret_cast<__m128i*>(to + i * 2), (__m128i)rounded);
  }
  return 1.0f;
}

template <class Operand, int kQueries>
void SetKernels(AttentionKernels& kernels) {
  auto& score = kernels.score[kQueries - 1];
  score[0] = Score<Operand, kQueries, 1>;
  score[1] = Score<Operand, kQueries, 2>;
  score[2] = Score<Operand, kQueries, 3>;
  score[3] = Score<Operand, kQueries, 4>;
  auto& weigh = kernels.weigh[kQueries - 1];
  weigh[0] = Weigh<Operand, kQueries, 1>;
  weigh[1] = Weigh<Operand, kQueries, 2>;
  weigh[2] = Weigh<Operand, kQueries, 3>;
  weigh[3] = Weigh<Operand, kQueries, 4>;
}

}  // namespace
}  // namespace hocket

#pragma GCC pop_options

namespace hocket {
namespace {

template <class Operand>
AttentionKernels MakeKernels(const char* name) {
  AttentionKernels kernels;
  kernels.name = name;
  kernels.softmax = Softmax<Operand>;
  SetKernels<Operand, 1>(kernels);
  SetKernels<Operand, 2>(kernels);
  SetKernels<Operand, 3>(kernels);
  SetKernels<Operand, 4>(kernels);
  SetKernels<Operand, 5>(kernels);
  SetKernels<Operand, 6>(kernels);
  return kernels;
}

AttentionKernels MakeBf16Kernels() {
  AttentionKernels kernels = MakeKernels<Bf16Operand>("avx512_bf16");
  kernels.round_query = RoundQuery;
  return kernels;
}

AttentionKernels MakeInt8Kernels() {
  AttentionKernels kernels = MakeKernels<Int8Operand>("avx512_vnni");
  kernels.round_query = PortableAttentionKernels(KvType::kInt8).round_query;
  return kernels;
}

}  // namespace

const AttentionKernels* Avx512Bf16AttentionKernels(KvType type) {
  static const bool available =
      __builtin_cpu_supports("avx512bf16") && __builtin_cpu_supports("avx512vnni") &&
      __builtin_cpu_supports("avx512bw") && __builtin_cpu_supports("avx512vl") &&
      __builtin_cpu_supports("avx512dq");
  if (!available || type == KvType::kF32) return nullptr;
  static const AttentionKernels bf16 = MakeBf16Kernels();
  static const AttentionKernels int8 = MakeInt8Kernels();
  return type == KvType::kBf16 ? &bf16 : &int8;
}

}  // namespace hocket

#else

namespace hocket {
const AttentionKernels* Avx512Bf16AttentionKernels(KvType /*type*/) { return nullptr; }
}  // namespace hocket

#endif
