// Products of f32 and bf16 matrices that come from memory, as a model's layers do, on one thread
// and on two. Run it on a quiet machine.
//   Product<type>/<matrix>/<rows>/<threads>
#include <memory>
#include <string>
#include <vector>

#include "benchmark/benchmark.h"
#include "runtime/kernels/activation.h"
#include "runtime/kernels/float_matrix.h"

namespace hocket {
namespace {

constexpr int32_t kMostThreads = 2;

struct Case {
  const char* name;
  MatrixShape shape;
};

constexpr Case kCases[] = {
    {"S_qkv", {576, 960, false}},       {"S_gate_up", {576, 3072, true}},
    {"S_down", {1536, 576, false}},     {"S_head", {576, 49152, false}},
    {"L_gate_up", {2048, 16384, true}}, {"L_down", {8192, 2048, false}},
};

// Copies of a matrix, together larger than the caches. Kept for the next run with the same shape.
template <class T>
const std::vector<std::unique_ptr<FloatMatrix<T>>>& Copies(const MatrixShape& shape) {
  constexpr int64_t kFewestBytes = int64_t{128} << 20;
  static std::vector<std::unique_ptr<FloatMatrix<T>>> copies;
  if (!copies.empty() && copies[0]->shape() == shape) return copies;
  copies.clear();
  std::vector<T> weights(shape.inputs * shape.outputs);
  for (size_t i = 0; i < weights.size(); ++i) {
    const float value = static_cast<float>(i % 251) / 251 - 0.5f;
    Convert(&value, 1, &weights[i]);
  }
  Team team(kMostThreads);
  FloatMatrixContext context(team);
  for (int64_t bytes = 0; bytes < kFewestBytes; bytes += copies.back()->bytes()) {
    copies.push_back(FloatMatrix<T>::Pack(context, weights.data(), shape).value());
  }
  return copies;
}

template <class T>
void Product(benchmark::State& state, const MatrixShape& shape, int32_t rows, int32_t threads) {
  Team team(threads);
  const auto& copies = Copies<T>(shape);
  const WeightMatrix& first = *copies[0];
  const int64_t row_bytes = InputRowBytes(first.input_format(), shape.inputs);
  const auto input = AlignedBuffer::Allocate(PaddedRows(rows) * row_bytes, "rows").value();
  const InputRows x{first.input_format(), input.As<std::byte>(), row_bytes, nullptr};
  const std::vector<float> ones(shape.inputs, 1.0f);
  for (int64_t r = 0; r < rows; ++r) StoreInputRow(ones.data(), shape.inputs, r, x);
  std::vector<float> y(rows * first.columns());
  const int64_t scratch_bytes = (first.scratch_bytes() + 63) / 64 * 64;
  const auto scratch = AlignedBuffer::Allocate(threads * scratch_bytes, "scratch").value();
  const ProductOutput output{y.data(), first.columns(), nullptr, false};
  size_t next = 0;
  for (auto _ : state) {
    const FloatMatrix<T>& matrix = *copies[next++ % copies.size()];
    team.Run([&](TeamMember& member) {
      std::byte* const mine = scratch.template As<std::byte>() + member.index() * scratch_bytes;
      if (!matrix.Multiply(x, {0, rows}, member.Share(matrix.units()), output, mine).ok()) abort();
    });
  }
  state.SetBytesProcessed(state.iterations() * first.bytes());
  state.counters["flops"] =
      benchmark::Counter(2.0 * static_cast<double>(rows * shape.inputs * shape.outputs),
                         benchmark::Counter::kIsIterationInvariantRate);
  state.SetLabel(first.kernel());
}

template <class T>
void Register(const std::string& type) {
  for (const Case& matrix : kCases) {
    for (const int32_t rows : {1, 8, 32, 128, 512}) {
      for (const int32_t threads : {1, kMostThreads}) {
        const std::string name = "Product<" + type + ">/" + matrix.name + "/" +
                                 std::to_string(rows) + "/" + std::to_string(threads);
        benchmark::RegisterBenchmark(name.c_str(), [=, shape = matrix.shape](auto& state) {
          Product<T>(state, shape, rows, threads);
        })->UseRealTime();
      }
    }
  }
}

}  // namespace
}  // namespace hocket

int main(int argc, char** argv) {
  hocket::Register<float>("f32");
  hocket::Register<hocket::Bf16>("bf16");
  benchmark::Initialize(&argc, argv);
  if (benchmark::ReportUnrecognizedArguments(argc, argv)) return 1;
  benchmark::RunSpecifiedBenchmarks();
}
