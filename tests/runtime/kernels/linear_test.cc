// Packed products against plain double-precision arithmetic, and their bits.
#include "runtime/kernels/linear.h"

#include <cmath>
#include <cstring>

#include "gtest/gtest.h"
#include "tests/runtime/kernels/simd_targets.h"

namespace hocket {
namespace {

using Backend = LinearContext::Backend;

TEST(PaddedRows, IsNeverOneAndWastesLittle) {
  EXPECT_EQ(PaddedRows(1), 4);
  for (int32_t rows = 1; rows <= 2000; ++rows) {
    EXPECT_GE(PaddedRows(rows), rows);
    EXPECT_EQ(PaddedRows(PaddedRows(rows)), PaddedRows(rows));
    EXPECT_LE(PaddedRows(rows), rows < 16 ? rows + 3 : rows * 1.45);
  }
}

template <class T>
std::vector<T> As(const std::vector<float>& values) {
  std::vector<T> converted(values.size());
  for (size_t i = 0; i < values.size(); ++i) {
    if constexpr (sizeof(T) == 4) converted[i] = values[i];
    if constexpr (sizeof(T) == 2) converted[i] = ToBf16(values[i]);
  }
  return converted;
}

template <class T>
class LinearTest : public testing::Test {
 protected:
  // rows of x through W by the given backend.
  std::vector<float> Run(int32_t threads, Backend backend, int64_t inputs, int64_t outputs,
                         int32_t first, int32_t rows, int32_t max_rows = 64) {
    LinearContext context(threads, backend);
    const auto weights = As<T>(RandomFloats(inputs * outputs, 1));
    auto linear = Linear<T>::Pack(context, weights.data(), inputs, outputs, max_rows);
    EXPECT_TRUE(linear.ok()) << linear.status();
    const auto all = As<T>(RandomFloats(64 * inputs, 2));
    std::vector<T> x(PaddedRows(rows) * inputs);
    std::copy_n(all.begin() + first * inputs, rows * inputs, x.begin());
    std::vector<float> y(PaddedRows(rows) * outputs);
    EXPECT_TRUE(linear->Multiply(x.data(), rows, y.data()).ok());
    y.resize(rows * outputs);
    return y;
  }
};

using Types = testing::Types<float, Bf16>;
TYPED_TEST_SUITE(LinearTest, Types);

TYPED_TEST(LinearTest, AgreesWithPlainArithmetic) {
  for (const auto& [inputs, outputs] : {std::pair{40, 301}, {48, 16}, {7, 3}, {576, 70}}) {
    const auto weights = As<TypeParam>(RandomFloats(inputs * outputs, 1));
    const auto x = As<TypeParam>(RandomFloats(64 * inputs, 2));
    for (const Backend backend : {Backend::kAuto, Backend::kPortable}) {
      const auto y = this->Run(2, backend, inputs, outputs, 0, 9);
      for (int r = 0; r < 9; ++r) {
        for (int o = 0; o < outputs; ++o) {
          double expected = 0;
          for (int i = 0; i < inputs; ++i) {
            expected += double{ToF32(x[r * inputs + i])} * ToF32(weights[o * inputs + i]);
          }
          ASSERT_NEAR(y[r * outputs + o], expected, 1e-5 * std::sqrt(inputs));
        }
      }
    }
  }
}

TYPED_TEST(LinearTest, ARowsBitsDoNotDependOnItsCompany) {
  for (const Backend backend : {Backend::kAuto, Backend::kPortable}) {
    const auto all = this->Run(2, backend, 576, 200, 0, 64);
    for (const int32_t threads : {1, 2, 3}) {
      for (const auto& [first, rows] : {std::pair{0, 1}, {5, 2}, {11, 3}, {2, 17}, {30, 33}}) {
        const auto some = this->Run(threads, backend, 576, 200, first, rows);
        EXPECT_EQ(std::memcmp(some.data(), &all[first * 200], some.size() * sizeof(float)), 0)
            << rows << " rows from " << first << ", " << threads << " threads";
      }
    }
  }
}

// The check at load samples the larger row counts; here is every one that a step can have.
TYPED_TEST(LinearTest, EveryRowCountGivesTheBitsOfFourRows) {
  constexpr int32_t kMostRows = 512;
  constexpr int64_t kInputs = 256;
  constexpr int64_t kOutputs = 200;
  const auto weights = As<TypeParam>(RandomFloats(kInputs * kOutputs, 1));
  const auto x = As<TypeParam>(RandomFloats(kMostRows * kInputs, 2));
  std::vector<float> expected(kMostRows * kOutputs);
  for (const int32_t threads : {1, 2, 5}) {
    LinearContext context(threads);
    auto linear = Linear<TypeParam>::Pack(context, weights.data(), kInputs, kOutputs, kMostRows);
    ASSERT_TRUE(linear.ok()) << linear.status();
    if (threads == 1) {
      for (int32_t r = 0; r < kMostRows; r += 4) {
        ASSERT_TRUE(linear->Multiply(&x[r * kInputs], 4, &expected[r * kOutputs]).ok());
      }
    }
    for (int32_t rows = 4; rows <= kMostRows; rows = PaddedRows(rows + 1)) {
      std::vector<float> y(rows * kOutputs);
      ASSERT_TRUE(linear->Multiply(x.data(), rows, y.data()).ok());
      EXPECT_EQ(std::memcmp(y.data(), expected.data(), y.size() * sizeof(float)), 0)
          << rows << " rows, " << threads << " threads";
    }
  }
}

// oneDNN blocks outputs that fill no whole block differently for different numbers of threads.
TYPED_TEST(LinearTest, TheNumberOfThreadsDoesNotChooseTheBits) {
  for (const auto& [inputs, outputs] : {std::pair{168, 91}, {96, 96}, {130, 96}, {96, 260}}) {
    const auto alone = this->Run(1, Backend::kAuto, inputs, outputs, 0, 17, 40);
    for (const int32_t threads : {2, 3, 7}) {
      const auto shared = this->Run(threads, Backend::kAuto, inputs, outputs, 0, 17, 40);
      EXPECT_EQ(std::memcmp(shared.data(), alone.data(), alone.size() * sizeof(float)), 0)
          << inputs << " inputs, " << outputs << " outputs, " << threads << " threads";
    }
  }
}

TYPED_TEST(LinearTest, ThePortableProductHasTheSameBitsOnEveryTarget) {
  std::vector<float> first;
  OnEveryTarget([&] {
    const auto y = this->Run(2, Backend::kPortable, 100, 37, 0, 13);
    if (first.empty()) first = y;
    EXPECT_EQ(std::memcmp(first.data(), y.data(), y.size() * sizeof(float)), 0);
  });
}

}  // namespace
}  // namespace hocket
