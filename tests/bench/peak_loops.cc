#include "tests/bench/peak_loops.h"

#if defined(__x86_64__)
#include <cpuid.h>
#include <immintrin.h>
#include <sys/syscall.h>
#include <unistd.h>
#endif

namespace hocket {

#if defined(__x86_64__)
namespace {

// As many as it takes to hide the latency of an instruction that is issued twice a cycle, and as
// leave registers for the operands: 16 registers with AVX2, 32 with AVX-512.
constexpr int kChains = 10;

// A value that the compiler must take for a new one, so that it can neither hoist nor merge.
#define HOCKET_RENEW(value) __asm__ volatile("" : "+v"(value))
#define HOCKET_RENEW_YMM(value) __asm__ volatile("" : "+x"(value))

__attribute__((target("avx2"))) void Avx2WordPairs(int64_t rounds) {
  __m256i sums[kChains] = {};
  __m256i a = _mm256_set1_epi16(1);
  const __m256i b = _mm256_set1_epi16(2);
  for (int64_t round = 0; round < rounds; ++round) {
#pragma GCC unroll 10
    for (int i = 0; i < kChains; ++i) {
      HOCKET_RENEW_YMM(a);
      sums[i] = _mm256_add_epi32(sums[i], _mm256_madd_epi16(a, b));
    }
  }
#pragma GCC unroll 10
  for (int i = 0; i < kChains; ++i) HOCKET_RENEW_YMM(sums[i]);
}

__attribute__((target("avx2"))) void Avx2BytePairs(int64_t rounds) {
  __m256i sums[kChains] = {};
  __m256i a = _mm256_set1_epi8(1);
  const __m256i b = _mm256_set1_epi8(2);
  const __m256i ones = _mm256_set1_epi16(1);
  for (int64_t round = 0; round < rounds; ++round) {
#pragma GCC unroll 10
    for (int i = 0; i < kChains; ++i) {
      HOCKET_RENEW_YMM(a);
      const __m256i pairs = _mm256_maddubs_epi16(a, b);
      sums[i] = _mm256_add_epi32(sums[i], _mm256_madd_epi16(pairs, ones));
    }
  }
#pragma GCC unroll 10
  for (int i = 0; i < kChains; ++i) HOCKET_RENEW_YMM(sums[i]);
}

__attribute__((target("avx2,fma"))) void Avx2Fma(int64_t rounds) {
  __m256 sums[kChains] = {};
  __m256 a = _mm256_set1_ps(1);
  const __m256 b = _mm256_set1_ps(2);
  for (int64_t round = 0; round < rounds; ++round) {
#pragma GCC unroll 10
    for (int i = 0; i < kChains; ++i) {
      HOCKET_RENEW_YMM(a);
      sums[i] = _mm256_fmadd_ps(a, b, sums[i]);
    }
  }
#pragma GCC unroll 10
  for (int i = 0; i < kChains; ++i) HOCKET_RENEW_YMM(sums[i]);
}

__attribute__((target("avx2,avxvnni"))) void AvxVnni(int64_t rounds) {
  __m256i sums[kChains] = {};
  __m256i a = _mm256_set1_epi8(1);
  const __m256i b = _mm256_set1_epi8(2);
  for (int64_t round = 0; round < rounds; ++round) {
#pragma GCC unroll 10
    for (int i = 0; i < kChains; ++i) {
      HOCKET_RENEW_YMM(a);
      sums[i] = _mm256_dpbusd_avx_epi32(sums[i], a, b);
    }
  }
#pragma GCC unroll 10
  for (int i = 0; i < kChains; ++i) HOCKET_RENEW_YMM(sums[i]);
}

__attribute__((target("avx512f,avx512vnni"))) void Avx512Vnni(int64_t rounds) {
  __m512i sums[kChains] = {};
  __m512i a = _mm512_set1_epi32(0x01010101);
  const __m512i b = _mm512_set1_epi32(0x02020202);
  for (int64_t round = 0; round < rounds; ++round) {
#pragma GCC unroll 10
    for (int i = 0; i < kChains; ++i) {
      HOCKET_RENEW(a);
      sums[i] = _mm512_dpbusd_epi32(sums[i], a, b);
    }
  }
#pragma GCC unroll 10
  for (int i = 0; i < kChains; ++i) HOCKET_RENEW(sums[i]);
}

__attribute__((target("avx512f,avx512bf16"))) void Avx512Bf16(int64_t rounds) {
  __m512 sums[kChains] = {};
  // 1.0 in bf16, twice in each 32 bits.
  __m512i a = _mm512_set1_epi32(0x3f803f80);
  for (int64_t round = 0; round < rounds; ++round) {
#pragma GCC unroll 10
    for (int i = 0; i < kChains; ++i) {
      HOCKET_RENEW(a);
      sums[i] =
          _mm512_dpbf16_ps(sums[i], reinterpret_cast<__m512bh>(a), reinterpret_cast<__m512bh>(a));
    }
  }
#pragma GCC unroll 10
  for (int i = 0; i < kChains; ++i) HOCKET_RENEW(sums[i]);
}

__attribute__((target("avx512f"))) void Avx512Fma(int64_t rounds) {
  __m512 sums[kChains] = {};
  __m512 a = _mm512_set1_ps(1);
  const __m512 b = _mm512_set1_ps(2);
  for (int64_t round = 0; round < rounds; ++round) {
#pragma GCC unroll 10
    for (int i = 0; i < kChains; ++i) {
      HOCKET_RENEW(a);
      sums[i] = _mm512_fmadd_ps(a, b, sums[i]);
    }
  }
#pragma GCC unroll 10
  for (int i = 0; i < kChains; ++i) HOCKET_RENEW(sums[i]);
}

struct alignas(64) TileSettings {
  uint8_t palette = 1;
  uint8_t start_row = 0;
  uint8_t reserved[14] = {};
  uint16_t row_bytes[16] = {64, 64, 64, 64, 64, 64, 64, 64};
  uint8_t rows[16] = {16, 16, 16, 16, 16, 16, 16, 16};
};

// Four tiles of sums, two of each operand: what a blocked product keeps in registers.
__attribute__((target("amx-tile,amx-int8"))) void AmxInt8(int64_t rounds) {
  const TileSettings settings;
  _tile_loadconfig(&settings);
  for (int64_t round = 0; round < rounds; ++round) {
    _tile_dpbusd(0, 4, 6);
    _tile_dpbusd(1, 4, 7);
    _tile_dpbusd(2, 5, 6);
    _tile_dpbusd(3, 5, 7);
  }
  _tile_release();
}

__attribute__((target("amx-tile,amx-bf16"))) void AmxBf16(int64_t rounds) {
  const TileSettings settings;
  _tile_loadconfig(&settings);
  for (int64_t round = 0; round < rounds; ++round) {
    _tile_dpbf16ps(0, 4, 6);
    _tile_dpbf16ps(1, 4, 7);
    _tile_dpbf16ps(2, 5, 6);
    _tile_dpbf16ps(3, 5, 7);
  }
  _tile_release();
}

struct CpuFeatures {
  bool avx2 = false, avx_vnni = false, avx512 = false, avx512_vnni = false, avx512_bf16 = false;
  bool amx_int8 = false, amx_bf16 = false;
};

uint64_t EnabledState() {  // XCR0: the registers that the system saves.
  uint32_t low = 0, high = 0;
  __asm__ volatile("xgetbv" : "=a"(low), "=d"(high) : "c"(0));
  return uint64_t{high} << 32 | low;
}

CpuFeatures DetectCpu() {
  constexpr uint64_t kAvxState = 0x6, kAvx512State = 0xe6, kTileState = 0x60000;
  constexpr long kRequestPermission = 0x1023, kTileData = 18;  // arch_prctl(2)
  CpuFeatures features;
  uint32_t a = 0, b = 0, c = 0, d = 0;
  if (!__get_cpuid(1, &a, &b, &c, &d) || (c >> 27 & 1) == 0) return features;  // OSXSAVE
  const bool fma = c >> 12 & 1;
  const uint64_t state = EnabledState();
  if (!__get_cpuid_count(7, 0, &a, &b, &c, &d)) return features;
  uint32_t a1 = 0, b1 = 0, c1 = 0, d1 = 0;
  if (a >= 1) __get_cpuid_count(7, 1, &a1, &b1, &c1, &d1);
  features.avx2 = fma && (b >> 5 & 1) && (state & kAvxState) == kAvxState;
  features.avx_vnni = features.avx2 && (a1 >> 4 & 1);
  features.avx512 = features.avx2 && (b >> 16 & 1) && (state & kAvx512State) == kAvx512State;
  features.avx512_vnni = features.avx512 && (c >> 11 & 1);
  features.avx512_bf16 = features.avx512 && (a1 >> 5 & 1);
  if ((d >> 24 & 1) && (state & kTileState) == kTileState &&
      syscall(SYS_arch_prctl, kRequestPermission, kTileData) == 0) {
    features.amx_int8 = d >> 25 & 1;
    features.amx_bf16 = d >> 22 & 1;
  }
  return features;
}

const CpuFeatures& Cpu() {
  static const CpuFeatures features = DetectCpu();
  return features;
}

__attribute__((target("avx512f"))) uint64_t ReadWith512(const std::byte* data, int64_t bytes) {
  __m512i folded[8] = {};
  for (int64_t at = 0; at < bytes; at += 512) {
#pragma GCC unroll 8
    for (int i = 0; i < 8; ++i) {
      folded[i] = _mm512_xor_si512(folded[i], _mm512_load_si512(data + at + 64 * i));
    }
  }
  for (int i = 1; i < 8; ++i) folded[0] = _mm512_xor_si512(folded[0], folded[i]);
  alignas(64) uint64_t lanes[8];
  _mm512_store_si512(lanes, folded[0]);
  uint64_t sum = 0;
  for (const uint64_t lane : lanes) sum += lane;
  return sum;
}

__attribute__((target("avx2"))) uint64_t ReadWith256(const std::byte* data, int64_t bytes) {
  __m256i folded[8] = {};
  for (int64_t at = 0; at < bytes; at += 256) {
#pragma GCC unroll 8
    for (int i = 0; i < 8; ++i) {
      const auto* from = reinterpret_cast<const __m256i*>(data + at + 32 * i);
      folded[i] = _mm256_xor_si256(folded[i], _mm256_load_si256(from));
    }
  }
  for (int i = 1; i < 8; ++i) folded[0] = _mm256_xor_si256(folded[0], folded[i]);
  alignas(32) uint64_t lanes[4];
  _mm256_store_si256(reinterpret_cast<__m256i*>(lanes), folded[0]);
  return lanes[0] + lanes[1] + lanes[2] + lanes[3];
}

}  // namespace

std::vector<PeakLoop> PeakLoops() {
  constexpr int64_t kYmmBytes = 32, kZmmBytes = 64, kTileSums = 16 * 16;
  const auto lanes = [](int64_t products) { return 2 * products * kChains; };
  std::vector<PeakLoop> loops;
  const CpuFeatures& cpu = Cpu();
  if (cpu.amx_int8) loops.push_back({"int8", "amx dpbusd", AmxInt8, 2 * 4 * kTileSums * 64});
  if (cpu.avx512_vnni) {
    loops.push_back({"int8", "avx512_vnni dpbusd", Avx512Vnni, lanes(kZmmBytes)});
  }
  if (cpu.avx_vnni) loops.push_back({"int8", "avx_vnni dpbusd", AvxVnni, lanes(kYmmBytes)});
  if (cpu.avx2) {
    loops.push_back({"int8", "avx2 maddubs+madd+add", Avx2BytePairs, lanes(kYmmBytes)});
    loops.push_back({"int8", "avx2 madd+add of int16", Avx2WordPairs, lanes(kYmmBytes / 2)});
  }
  if (cpu.amx_bf16) loops.push_back({"bf16", "amx dpbf16ps", AmxBf16, 2 * 4 * kTileSums * 32});
  if (cpu.avx512_bf16) {
    loops.push_back({"bf16", "avx512_bf16 dpbf16ps", Avx512Bf16, lanes(kZmmBytes / 2)});
  }
  if (cpu.avx512) loops.push_back({"f32", "avx512 fmadd", Avx512Fma, lanes(kZmmBytes / 4)});
  if (cpu.avx2) loops.push_back({"f32", "avx2 fmadd", Avx2Fma, lanes(kYmmBytes / 4)});
  return loops;
}

uint64_t ReadBytes(const std::byte* data, int64_t bytes) {
  if (Cpu().avx512) return ReadWith512(data, bytes);
  if (Cpu().avx2) return ReadWith256(data, bytes);
  const auto* words = reinterpret_cast<const uint64_t*>(data);
  uint64_t folded = 0;
  for (int64_t i = 0; i < bytes / 8; ++i) folded ^= words[i];
  return folded;
}

#else

std::vector<PeakLoop> PeakLoops() { return {}; }

uint64_t ReadBytes(const std::byte* data, int64_t bytes) {
  const auto* words = reinterpret_cast<const uint64_t*>(data);
  uint64_t folded = 0;
  for (int64_t i = 0; i < bytes / 8; ++i) folded ^= words[i];
  return folded;
}

#endif

}  // namespace hocket
