// Packed f32 and bf16 matrices against plain double-precision arithmetic, and their bits however a
// product is shared out.
#include "runtime/kernels/float_matrix.h"

#include <algorithm>
#include <atomic>
#include <cmath>
#include <cstdlib>
#include <cstring>
#include <iostream>
#include <new>
#include <random>

#include "gtest/gtest.h"
#include "runtime/kernels/activation.h"
#include "tests/runtime/kernels/simd_targets.h"

// Counts what the code under test allocates. Inlined, the compiler would take them for mismatched.
static std::atomic<int64_t> allocations{0};
[[gnu::noinline]] void* operator new(size_t bytes) {
  allocations.fetch_add(1, std::memory_order_relaxed);
  void* const memory = std::malloc(bytes == 0 ? 1 : bytes);
  if (memory == nullptr) std::abort();
  return memory;
}
[[gnu::noinline]] void operator delete(void* memory) noexcept { std::free(memory); }
[[gnu::noinline]] void operator delete(void* memory, size_t) noexcept { std::free(memory); }

namespace hocket {
namespace {

using Backend = FloatMatrixContext::Backend;

std::string Name(Backend backend) {
  return backend == Backend::kAuto ? "auto" : backend == Backend::kPortable ? "portable" : "oneDNN";
}

template <class T>
std::vector<T> As(const std::vector<float>& values) {
  std::vector<T> converted(values.size());
  Convert(values.data(), static_cast<int64_t>(values.size()), converted.data());
  return converted;
}

// Rows as the forward pass keeps them: memory for the padded count, and not a byte more, so that a
// read beyond it is one that a sanitizer sees. What no row fills is NaN.
template <class T>
class Rows {
 public:
  Rows(const std::vector<T>& x, int64_t inputs, int64_t spare_bytes = 0)
      : stride_((inputs * sizeof(T) + 63) / 64 * 64 + spare_bytes),
        count_(static_cast<int64_t>(x.size()) / inputs),
        bytes_(AlignedBuffer::Allocate(PaddedRows(count_) * stride_, "rows").value()) {
    std::memset(bytes_.data(), 0xff, bytes_.bytes());
    for (int64_t r = 0; r < count_; ++r) {
      std::memcpy(bytes_.As<std::byte>() + r * stride_, &x[r * inputs], inputs * sizeof(T));
    }
  }
  int64_t count() const { return count_; }
  InputRows view() const {
    return {std::is_same_v<T, Bf16> ? RowFormat::kBf16 : RowFormat::kF32, bytes_.As<std::byte>(),
            stride_, nullptr};
  }

 private:
  int64_t stride_;
  int64_t count_;
  AlignedBuffer bytes_;
};

AlignedBuffer Scratch(const WeightMatrix& matrix) {
  auto scratch = AlignedBuffer::Allocate(matrix.scratch_bytes(), "scratch").value();
  std::memset(scratch.data(), 0xff, scratch.bytes());
  return scratch;
}

// One part of a product, by itself.
template <class T>
void MultiplyPart(const FloatMatrix<T>& matrix, const InputRows& x, IndexRange rows,
                  IndexRange units, const ProductOutput& output) {
  const AlignedBuffer scratch = Scratch(matrix);
  const auto status = matrix.Multiply(x, rows, units, output, scratch.As<std::byte>());
  ASSERT_TRUE(status.ok()) << status;
}

template <class T>
std::vector<float> MultiplyAll(const FloatMatrix<T>& matrix, const Rows<T>& x,
                               const float* bias = nullptr) {
  std::vector<float> y(x.count() * matrix.columns());
  MultiplyPart(matrix, x.view(), {0, x.count()}, {0, matrix.units()},
               {y.data(), matrix.columns(), bias, false});
  return y;
}

template <class T>
class FloatMatrixTest : public testing::Test {
 protected:
  // Null when oneDNN was asked for and has no kernel for this CPU.
  std::unique_ptr<FloatMatrix<T>> Make(Backend backend, const MatrixShape& shape,
                                       int32_t threads = 2) {
    Team team(threads);
    FloatMatrixContext context(team, backend);
    const auto weights = As<T>(RandomFloats(shape.inputs * shape.outputs, 1));
    auto matrix = FloatMatrix<T>::Pack(context, weights.data(), shape);
    if (!matrix.ok() && backend == Backend::kOneDnn) {
      std::cout << "oneDNN: " << matrix.status() << std::endl;
      return nullptr;
    }
    EXPECT_TRUE(matrix.ok()) << matrix.status();
    return *std::move(matrix);
  }

  std::vector<T> Inputs(int64_t rows, int64_t inputs) {
    return As<T>(RandomFloats(rows * inputs, 2));
  }

  // Sums [rows][outputs] of the weights that Make packs.
  std::vector<double> Sums(const MatrixShape& shape, const std::vector<T>& x) {
    const auto weights = As<T>(RandomFloats(shape.inputs * shape.outputs, 1));
    std::vector<double> sums;
    for (size_t row = 0; row < x.size(); row += shape.inputs) {
      for (int64_t o = 0; o < shape.outputs; ++o) {
        double sum = 0;
        for (int64_t i = 0; i < shape.inputs; ++i) {
          sum += double{ToF32(x[row + i])} * ToF32(weights[o * shape.inputs + i]);
        }
        sums.push_back(sum);
      }
    }
    return sums;
  }
};

using Types = testing::Types<float, Bf16>;
TYPED_TEST_SUITE(FloatMatrixTest, Types);

constexpr Backend kBackends[] = {Backend::kAuto, Backend::kPortable, Backend::kOneDnn};

TYPED_TEST(FloatMatrixTest, AgreesWithPlainArithmetic) {
  for (const auto& [inputs, outputs] : {std::pair{40, 301}, {48, 16}, {7, 3}, {576, 70}, {1, 1}}) {
    const MatrixShape shape{inputs, outputs};
    const auto x = this->Inputs(9, inputs);
    const auto sums = this->Sums(shape, x);
    const auto bias = RandomFloats(outputs, 3);
    for (const Backend backend : kBackends) {
      const auto matrix = this->Make(backend, shape);
      if (matrix == nullptr) continue;
      const auto y = MultiplyAll(*matrix, Rows<TypeParam>(x, inputs), bias.data());
      for (size_t i = 0; i < y.size(); ++i) {
        ASSERT_NEAR(y[i], sums[i] + bias[i % outputs], 1e-5 * std::sqrt(inputs))
            << Name(backend) << ", " << inputs << " inputs, " << outputs << " outputs";
      }
    }
  }
}

TYPED_TEST(FloatMatrixTest, AGatedMatrixGivesSiluOfTheGateTimesUp) {
  for (const auto& [inputs, columns] : {std::pair{40, 301}, {7, 3}, {96, 64}}) {
    const MatrixShape shape{inputs, 2 * columns, true};
    const auto x = this->Inputs(5, inputs);
    const auto sums = this->Sums(shape, x);
    const auto bias = RandomFloats(2 * columns, 3);
    for (const Backend backend : kBackends) {
      const auto matrix = this->Make(backend, shape);
      if (matrix == nullptr) continue;
      const auto y = MultiplyAll(*matrix, Rows<TypeParam>(x, inputs), bias.data());
      for (int r = 0; r < 5; ++r) {
        for (int c = 0; c < columns; ++c) {
          const double gate = sums[r * 2 * columns + c] + bias[c];
          const double up = sums[r * 2 * columns + columns + c] + bias[columns + c];
          ASSERT_NEAR(y[r * columns + c], gate / (1 + std::exp(-gate)) * up, 1e-4 * inputs)
              << Name(backend) << ", row " << r << ", column " << c;
        }
      }
    }
  }
}

// So that a pass may do either. oneDNN may sum units of another width in another order.
TYPED_TEST(FloatMatrixTest, AGatedMatrixHasTheBitsOfItsTwoHalvesThroughSwiGlu) {
  const Rows<TypeParam> x(this->Inputs(6, 96), 96);
  const auto bias = RandomFloats(2 * 131, 3);
  const auto sums = MultiplyAll(*this->Make(Backend::kPortable, {96, 2 * 131}), x);
  std::vector<float> expected(6 * 131);
  for (int r = 0; r < 6; ++r) {
    SwiGlu(&sums[r * 2 * 131], bias.data(), 131, &expected[r * 131]);
  }
  const auto gated = this->Make(Backend::kPortable, {96, 2 * 131, true});
  EXPECT_EQ(MultiplyAll(*gated, x, bias.data()), expected);
}

TYPED_TEST(FloatMatrixTest, AddsToTheResidualStream) {
  const Rows<TypeParam> x(this->Inputs(5, 40), 40);
  const auto bias = RandomFloats(70, 3);
  const auto before = RandomFloats(5 * 70, 4);
  for (const Backend backend : kBackends) {
    const auto matrix = this->Make(backend, {40, 70});
    if (matrix == nullptr) continue;
    const auto product = MultiplyAll(*matrix, x, bias.data());
    auto y = before;
    MultiplyPart(*matrix, x.view(), {0, 5}, {0, matrix->units()},
                 {y.data(), 70, bias.data(), true});
    for (size_t i = 0; i < y.size(); ++i) EXPECT_EQ(y[i], before[i] + product[i]) << Name(backend);
  }
}

TYPED_TEST(FloatMatrixTest, WritesNothingOutsideItsPart) {
  constexpr int64_t kStride = 333;
  const Rows<TypeParam> x(this->Inputs(20, 40), 40);
  for (const Backend backend : kBackends) {
    const auto matrix = this->Make(backend, {40, 301});
    if (matrix == nullptr) continue;
    const auto all = MultiplyAll(*matrix, x);
    const int64_t width = matrix->unit_columns();
    for (const IndexRange units : {IndexRange{1, 2}, {0, 1}, {2, matrix->units()}, {3, 3}}) {
      std::vector<float> y(20 * kStride, -77.0f);
      MultiplyPart(*matrix, x.view(), {3, 9}, units, {y.data(), kStride, nullptr, false});
      for (int64_t r = 0; r < 20; ++r) {
        for (int64_t c = 0; c < kStride; ++c) {
          if (r >= 3 && r < 9 && c < 301 && c >= units.begin * width && c < units.end * width) {
            ASSERT_NEAR(y[r * kStride + c], all[r * 301 + c], 1e-5) << Name(backend);
          } else {
            ASSERT_EQ(y[r * kStride + c], -77.0f) << Name(backend) << ", " << r << ", " << c;
          }
        }
      }
    }
  }
}

TYPED_TEST(FloatMatrixTest, RowsMayLieFurtherApartThanTheirLength) {
  const auto inputs = this->Inputs(21, 64);
  for (const Backend backend : kBackends) {
    const auto matrix = this->Make(backend, {64, 130});
    if (matrix == nullptr) continue;
    const auto dense = MultiplyAll(*matrix, Rows<TypeParam>(inputs, 64));
    EXPECT_EQ(MultiplyAll(*matrix, Rows<TypeParam>(inputs, 64, 128)), dense) << Name(backend);
  }
}

TYPED_TEST(FloatMatrixTest, NoSplitOfRowsAndUnitsChangesABit) {
  const uint32_t seed = std::random_device()();
  SCOPED_TRACE(testing::Message() << "seed " << seed);
  std::mt19937 random(seed);
  const auto below = [&random](int64_t n) { return static_cast<int64_t>(random() % n); };
  for (const bool gated : {false, true}) {
    const MatrixShape shape{96, 602, gated};
    const Rows<TypeParam> x(this->Inputs(300, 96), 96);
    for (const Backend backend : {Backend::kAuto, Backend::kPortable}) {
      const auto matrix = this->Make(backend, shape);
      const auto all = MultiplyAll(*matrix, x);
      const int64_t columns = matrix->columns();
      for (int run = 0; run < 40; ++run) {
        const IndexRange rows{below(300), 300};
        const IndexRange part{rows.begin, rows.begin + below(rows.size()) + 1};
        const int64_t unit = below(matrix->units());
        std::vector<float> y(300 * columns);
        MultiplyPart(*matrix, x.view(), part, {unit, unit + 1},
                     {y.data(), columns, nullptr, false});
        const int64_t first = unit * matrix->unit_columns();
        const int64_t count = std::min(matrix->unit_columns(), columns - first);
        for (int64_t r = part.begin; r < part.end; ++r) {
          ASSERT_EQ(std::memcmp(&y[r * columns + first], &all[r * columns + first],
                                count * sizeof(float)),
                    0)
              << Name(backend) << ", row " << r << " of " << part.begin << " to " << part.end;
        }
      }
    }
  }
}

TYPED_TEST(FloatMatrixTest, EveryRowCountGivesTheBitsOfFourRows) {
  constexpr int64_t kMostRows = 300;
  constexpr int64_t kInputs = 256;
  constexpr int64_t kOutputs = 200;
  const auto inputs = this->Inputs(kMostRows, kInputs);
  for (const Backend backend : {Backend::kAuto, Backend::kPortable}) {
    const auto matrix = this->Make(backend, {kInputs, kOutputs});
    std::vector<float> expected(kMostRows * kOutputs);
    const Rows<TypeParam> all(inputs, kInputs);
    for (int64_t r = 0; r < kMostRows; r += 4) {
      MultiplyPart(*matrix, all.view(), {r, r + 4}, {0, matrix->units()},
                   {expected.data(), kOutputs, nullptr, false});
    }
    for (int64_t rows = 1; rows <= kMostRows; rows += rows < 140 ? 1 : 40) {
      const Rows<TypeParam> x({inputs.begin(), inputs.begin() + rows * kInputs}, kInputs);
      const auto y = MultiplyAll(*matrix, x);
      ASSERT_EQ(std::memcmp(y.data(), expected.data(), y.size() * sizeof(float)), 0)
          << Name(backend) << ", " << rows << " rows";
    }
  }
}

TYPED_TEST(FloatMatrixTest, TheNumberOfThreadsChoosesNeitherUnitsNorBits) {
  for (const auto& [inputs, outputs] : {std::pair{168, 91}, {96, 96}, {130, 96}, {96, 1060}}) {
    const Rows<TypeParam> x(this->Inputs(37, inputs), inputs);
    for (const Backend backend : {Backend::kAuto, Backend::kPortable}) {
      const auto alone = this->Make(backend, {inputs, outputs}, 1);
      const auto expected = MultiplyAll(*alone, x);
      for (const int32_t threads : {2, 3, 7}) {
        const auto matrix = this->Make(backend, {inputs, outputs}, threads);
        EXPECT_EQ(matrix->unit_columns(), alone->unit_columns());
        EXPECT_EQ(matrix->kernel(), alone->kernel());
        EXPECT_EQ(MultiplyAll(*matrix, x), expected) << threads << " threads";
      }
    }
  }
}

// As a step does it: members of a team take rows or units of the same product at the same time.
TYPED_TEST(FloatMatrixTest, ATeamSharesAProduct) {
  const MatrixShape shape{192, 1060};
  const Rows<TypeParam> x(this->Inputs(150, 192), 192);
  for (const Backend backend : kBackends) {
    for (const int32_t threads : {1, 2, 3}) {
      const auto matrix = this->Make(backend, shape, threads);
      if (matrix == nullptr) continue;
      const auto expected = MultiplyAll(*matrix, x);
      Team team(threads);
      std::vector<float> by_rows(expected.size());
      std::vector<float> by_units(expected.size());
      team.Run([&](TeamMember& member) {
        const AlignedBuffer scratch = Scratch(*matrix);
        for (int repeat = 0; repeat < 5; ++repeat) {
          EXPECT_TRUE(matrix
                          ->Multiply(x.view(), member.Share(150, 16), {0, matrix->units()},
                                     {by_rows.data(), shape.outputs}, scratch.As<std::byte>())
                          .ok());
          member.ForEach(matrix->units(), [&](int64_t unit) {
            EXPECT_TRUE(matrix
                            ->Multiply(x.view(), {0, 150}, {unit, unit + 1},
                                       {by_units.data(), shape.outputs}, scratch.As<std::byte>())
                            .ok());
          });
        }
      });
      // The bits of any kernel of oneDNN's may change with the rows.
      const double tolerance = backend == Backend::kOneDnn ? 1e-4 : 0;
      for (size_t i = 0; i < expected.size(); ++i) {
        ASSERT_NEAR(by_rows[i], expected[i], tolerance) << Name(backend) << ", " << threads;
        ASSERT_NEAR(by_units[i], expected[i], tolerance) << Name(backend) << ", " << threads;
      }
    }
  }
}

TYPED_TEST(FloatMatrixTest, ThePortableProductHasTheSameBitsOnEveryTarget) {
  const Rows<TypeParam> x(this->Inputs(13, 100), 100);
  std::vector<float> first;
  OnEveryTarget([&] {
    const auto y = MultiplyAll(*this->Make(Backend::kPortable, {100, 37}), x);
    if (first.empty()) first = y;
    EXPECT_EQ(std::memcmp(first.data(), y.data(), y.size() * sizeof(float)), 0);
  });
}

// With oneDNN, the library itself allocates in every call.
TYPED_TEST(FloatMatrixTest, ThePortableProductAllocatesNothing) {
  for (const bool gated : {false, true}) {
    const auto matrix = this->Make(Backend::kPortable, {96, 602, gated});
    const Rows<TypeParam> x(this->Inputs(60, 96), 96);
    const AlignedBuffer scratch = Scratch(*matrix);
    std::vector<float> y(60 * matrix->columns());
    const int64_t before = allocations.load();
    const auto status = matrix->Multiply(x.view(), {3, 60}, {0, matrix->units()},
                                         {y.data(), matrix->columns()}, scratch.As<std::byte>());
    EXPECT_EQ(allocations.load(), before);
    EXPECT_TRUE(status.ok()) << status;
  }
}

TYPED_TEST(FloatMatrixTest, SaysWhatItTakesAndWhatItIs) {
  const auto matrix = this->Make(Backend::kPortable, {100, 200});
  EXPECT_EQ(matrix->kernel(), "portable");
  EXPECT_EQ(matrix->input_format(),
            (std::is_same_v<TypeParam, Bf16> ? RowFormat::kBf16 : RowFormat::kF32));
  EXPECT_GE(matrix->bytes(), static_cast<int64_t>(100 * 200 * sizeof(TypeParam)));
  EXPECT_EQ(matrix->scratch_bytes() % 64, 0);
  std::cout << "kernel on this CPU: " << this->Make(Backend::kAuto, {100, 200})->kernel() << '\n';
}

TEST(PaddedRows, IsNeverOneAndWastesLittle) {
  EXPECT_EQ(PaddedRows(1), 4);
  for (int32_t rows = 1; rows <= 2000; ++rows) {
    EXPECT_GE(PaddedRows(rows), rows);
    EXPECT_EQ(PaddedRows(PaddedRows(rows)), PaddedRows(rows));
    EXPECT_LE(PaddedRows(rows), rows < 16 ? rows + 3 : rows * 1.45);
  }
}

TEST(PaddedRows, OfABlockThatBeginsAtAMultipleOf16AreWithinThoseOfAllRows) {
  for (int32_t rows = 1; rows <= 2000; ++rows) {
    for (int32_t begin = 0; begin < rows; begin += 16) {
      for (int32_t left = rows - begin; left > 0; left -= 128) {
        const int32_t block = std::min(left, 128);
        ASSERT_LE(rows - left + PaddedRows(block), PaddedRows(rows)) << rows << " from " << begin;
      }
    }
  }
}

}  // namespace
}  // namespace hocket
