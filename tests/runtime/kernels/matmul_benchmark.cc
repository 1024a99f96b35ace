// How near the products of quantized matrices come to what the machine can do: bytes per second of
// weights next to a plain read of the same bytes, operations per second next to the same
// instructions on registers alone. Run it on a quiet machine.
//   Read/<matrix>/<format>/<threads>   Product/<matrix>/<format>/<rows>/<threads>   Peak/<threads>
#include <algorithm>
#include <cstdint>
#include <cstring>
#include <map>
#include <memory>
#include <random>
#include <string>
#include <vector>

#include "benchmark/benchmark.h"
#include "hwy/base.h"
#include "runtime/kernels/aligned_buffer.h"
#include "runtime/kernels/quantized_matrix.h"
#include "runtime/kernels/team.h"

#if defined(__x86_64__)
#include <immintrin.h>
#endif

namespace hocket {
namespace {

// Matrices come from memory, as a model's layers do: as many copies as exceed the caches.
constexpr int64_t kFewestBytes = int64_t{192} << 20;

struct Case {
  const char* name;
  MatrixShape shape;
};

constexpr Case kCases[] = {
    {"S_qkv", {576, 960, false}},     {"S_o", {576, 576, false}},
    {"S_gate_up", {576, 3072, true}}, {"S_down", {1536, 576, false}},
    {"S_head", {576, 49152, false}},  {"L_qkv", {2048, 3072, false}},
    {"L_o", {2048, 2048, false}},     {"L_gate_up", {2048, 16384, true}},
    {"L_down", {8192, 2048, false}},  {"L_head", {2048, 128256, false}},
};

struct Format {
  const char* name;
  QuantizedFormat format;
};

constexpr Format kFormats[] = {
    {"int8", {QuantizedFormat::Kind::kInt8, 0}},
    {"int4g32", {QuantizedFormat::Kind::kInt4, 32}},
    {"int4g128", {QuantizedFormat::Kind::kInt4, 128}},
};

AlignedBuffer Allocate(int64_t bytes) {
  auto buffer = AlignedBuffer::Allocate(bytes, "benchmark");
  if (!buffer.ok()) abort();
  return *std::move(buffer);
}

// Copies of a matrix with arbitrary weights.
class Layers {
 public:
  Layers(const MatrixShape& shape, const QuantizedFormat& format) {
    const QuantizedLayout layout(shape, format);
    const int64_t count = (kFewestBytes + layout.bytes - 1) / layout.bytes;
    memory_ = Allocate(count * layout.bytes);
    std::mt19937_64 random(1);
    auto* const words = memory_.As<uint64_t>();
    for (int64_t i = 0; i < memory_.bytes() / 8; ++i) {
      words[i] = random() & 0x3f3f3f3f3f3f3f3f;  // Also good as multipliers of any kind.
    }
    for (int64_t i = 0; i < count; ++i) {
      std::byte* const packed = memory_.As<std::byte>() + i * layout.bytes;
      auto* const scales = reinterpret_cast<float*>(packed + layout.scales);
      std::fill_n(scales, layout.panels * kPanelOutputs, 1e-3f);
      matrices_.push_back(*QuantizedMatrix::Open(shape, format, packed));
    }
  }

  const AlignedBuffer& memory() const { return memory_; }
  const std::vector<std::unique_ptr<QuantizedMatrix>>& matrices() const { return matrices_; }

 private:
  AlignedBuffer memory_;
  std::vector<std::unique_ptr<QuantizedMatrix>> matrices_;
};

// Only the last one asked for is kept.
const Layers& LayersOf(const MatrixShape& shape, const QuantizedFormat& format) {
  static MatrixShape last_shape;
  static QuantizedFormat last_format;
  static std::unique_ptr<Layers> layers;
  if (layers == nullptr || shape != last_shape || format != last_format) {
    layers.reset();
    layers = std::make_unique<Layers>(shape, format);
    last_shape = shape;
    last_format = format;
  }
  return *layers;
}

uint64_t SumWords(const uint64_t* words, int64_t count) {
  uint64_t sums[16] = {};
  for (int64_t i = 0; i + 16 <= count; i += 16) {
    __builtin_prefetch(words + i + 256);
    __builtin_prefetch(words + i + 264);
    for (int64_t j = 0; j < 16; ++j) sums[j] += words[i + j];
  }
  uint64_t total = 0;
  for (const uint64_t sum : sums) total += sum;
  return total;
}

void Read(benchmark::State& state, const MatrixShape& shape, const QuantizedFormat& format,
          int32_t threads) {
  const AlignedBuffer& memory = LayersOf(shape, format).memory();
  Team team(threads);
  for (auto unused : state) {
    team.Run([&](TeamMember& member) {
      const IndexRange share = member.Share(memory.bytes() / 8, 512);
      benchmark::DoNotOptimize(SumWords(memory.As<uint64_t>() + share.begin, share.size()));
    });
  }
  state.counters["GB/s"] = benchmark::Counter(1e-9 * static_cast<double>(memory.bytes()),
                                              benchmark::Counter::kIsIterationInvariantRate);
}

void Product(benchmark::State& state, const MatrixShape& shape, const QuantizedFormat& format,
             int64_t rows, int32_t threads) {
  const Layers& layers = LayersOf(shape, format);
  const QuantizedMatrix& first = *layers.matrices().front();
  const int64_t stride = InputRowBytes(RowFormat::kInt8, shape.inputs);
  const AlignedBuffer x = Allocate(rows * stride);
  std::memset(x.data(), 150, x.bytes());
  std::vector<float> scales(rows, 1.0f);
  const AlignedBuffer y = Allocate(rows * first.columns() * static_cast<int64_t>(sizeof(float)));
  const int64_t scratch_bytes = (first.scratch_bytes() + 63) / 64 * 64;
  const AlignedBuffer scratch = Allocate(scratch_bytes * threads);
  // More copies than exceed the caches would only make a run longer.
  const int64_t count = rows < 64 ? static_cast<int64_t>(layers.matrices().size()) : 1;

  Team team(threads);
  for (auto unused : state) {
    team.Run([&](TeamMember& member) {
      for (int64_t i = 0; i < count; ++i) {
        const QuantizedMatrix& matrix = *layers.matrices()[i];
        const absl::Status status = matrix.Multiply(
            {RowFormat::kInt8, x.As<std::byte>(), stride, scales.data()}, {0, rows},
            member.Share(matrix.units()), {y.As<float>(), matrix.columns(), nullptr, false},
            scratch.As<std::byte>() + member.index() * scratch_bytes);
        benchmark::DoNotOptimize(status.ok());
        member.Barrier();
      }
    });
  }
  const double macs = static_cast<double>(count * rows * shape.inputs * shape.outputs);
  state.counters["GOPS"] =
      benchmark::Counter(2e-9 * macs, benchmark::Counter::kIsIterationInvariantRate);
  state.counters["GB/s"] = benchmark::Counter(1e-9 * static_cast<double>(count * first.bytes()),
                                              benchmark::Counter::kIsIterationInvariantRate);
}

#if defined(__x86_64__)
constexpr int64_t kPeakRounds = 100000;

// Each returns how many multiplications it did.
// clang-format off
HWY_PUSH_ATTRIBUTES("avx512f,avx512bw,avx512vnni")
// clang-format on
int64_t PeakAvx512Vnni() {
  __m512i sums[16];
  for (auto& sum : sums) sum = _mm512_setzero_si512();
  __m512i x = _mm512_set1_epi8(3);
  for (int64_t i = 0; i < kPeakRounds; ++i) {
    asm volatile("" : "+v"(x));
#pragma GCC unroll 16
    for (auto& sum : sums) sum = _mm512_dpbusd_epi32(sum, x, x);
  }
  for (auto& sum : sums) asm volatile("" ::"v"(sum));
  return kPeakRounds * 16 * 64;
}
HWY_POP_ATTRIBUTES

// clang-format off
HWY_PUSH_ATTRIBUTES("avx2")
// clang-format on
int64_t PeakAvx2() {
  __m256i sums[8];
  for (auto& sum : sums) sum = _mm256_setzero_si256();
  __m256i x = _mm256_set1_epi16(3);
  for (int64_t i = 0; i < kPeakRounds; ++i) {
#pragma GCC unroll 8
    for (auto& sum : sums) {
      asm volatile("" : "+x"(x));
      sum = _mm256_add_epi32(sum, _mm256_madd_epi16(x, x));
    }
  }
  for (auto& sum : sums) asm volatile("" ::"x"(sum));
  return kPeakRounds * 8 * 16;
}
HWY_POP_ATTRIBUTES

void Peak(benchmark::State& state, int32_t threads) {
  const auto run = BestInt8DotKernel().name == std::string("avx512_vnni") ? PeakAvx512Vnni
                   : __builtin_cpu_supports("avx2")                       ? PeakAvx2
                                                                          : nullptr;
  if (run == nullptr) {
    state.SkipWithError("no peak is known for this CPU");
    return;
  }
  Team team(threads);
  int64_t macs = 0;
  for (auto unused : state) {
    team.Run([&](TeamMember& member) {
      const int64_t done = run();
      if (member.index() == 0) macs = done * threads;
    });
  }
  state.counters["GOPS"] = benchmark::Counter(2e-9 * static_cast<double>(macs),
                                              benchmark::Counter::kIsIterationInvariantRate);
}
#endif

void Register() {
  for (const int32_t threads : {1, 2}) {
#if defined(__x86_64__)
    benchmark::RegisterBenchmark(("Peak/" + std::to_string(threads)).c_str(), Peak, threads)
        ->UseRealTime();
#endif
  }
  for (const Case& c : kCases) {
    for (const Format& f : kFormats) {
      const std::string name = std::string("/") + c.name + "/" + f.name + "/";
      for (const int32_t threads : {1, 2}) {
        benchmark::RegisterBenchmark(("Read" + name + std::to_string(threads)).c_str(), Read,
                                     c.shape, f.format, threads)
            ->UseRealTime();
      }
      for (const int64_t rows : {1, 2, 4, 8, 16, 32, 64, 512}) {
        for (const int32_t threads : {1, 2}) {
          benchmark::RegisterBenchmark(
              ("Product" + name + std::to_string(rows) + "/" + std::to_string(threads)).c_str(),
              Product, c.shape, f.format, rows, threads)
              ->UseRealTime();
        }
      }
    }
  }
}

}  // namespace
}  // namespace hocket

int main(int argc, char** argv) {
  benchmark::Initialize(&argc, argv);
  hocket::Register();
  benchmark::RunSpecifiedBenchmarks();
  return 0;
}
