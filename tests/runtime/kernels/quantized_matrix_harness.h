// One way to pack a quantized matrix, to multiply it, and the plain formula's result, for the tests
// of quantized products.
#ifndef HOCKET_TESTS_RUNTIME_KERNELS_QUANTIZED_MATRIX_HARNESS_H_
#define HOCKET_TESTS_RUNTIME_KERNELS_QUANTIZED_MATRIX_HARNESS_H_

#include <cmath>
#include <cstring>
#include <random>
#include <thread>
#include <vector>

#include "gtest/gtest.h"
#include "runtime/kernels/activation.h"
#include "runtime/kernels/aligned_buffer.h"
#include "runtime/kernels/quantized_matrix.h"
#include "tests/runtime/kernels/simd_targets.h"

namespace hocket {

inline constexpr QuantizedFormat kInt8{QuantizedFormat::Kind::kInt8, 0};
inline constexpr QuantizedFormat kInt4By32{QuantizedFormat::Kind::kInt4, 32};
inline constexpr QuantizedFormat kInt4By128{QuantizedFormat::Kind::kInt4, 128};
inline constexpr QuantizedFormat kFormats[] = {kInt8, kInt4By32, kInt4By128};

inline AlignedBuffer Allocate(int64_t bytes) {
  auto buffer = AlignedBuffer::Allocate(bytes, "test");
  EXPECT_TRUE(buffer.ok()) << buffer.status();
  return *std::move(buffer);
}

// Weights [outputs][inputs] and their packed form.
class Packed {
 public:
  Packed(const MatrixShape& shape, const QuantizedFormat& format, std::vector<float> weights)
      : shape_(shape),
        format_(format),
        weights_(std::move(weights)),
        bytes_(Allocate(QuantizedMatrix::PackedBytes(shape, format))) {
    const AlignedBuffer scratch = Allocate(QuantizedMatrix::PackScratchBytes(shape));
    for (int64_t unit = QuantizedMatrix::Units(shape); unit-- > 0;) {
      QuantizedMatrix::PackUnit(
          shape, format, unit,
          [&](int64_t output, float* row) {
            std::copy_n(&weights_[output * shape.inputs], shape.inputs, row);
          },
          bytes_.As<std::byte>(), scratch.As<std::byte>());
    }
  }

  std::unique_ptr<QuantizedMatrix> Open(const Int8DotKernel& kernel = BestInt8DotKernel(),
                                        WideProducts wide = WideProducts::kOwn) const {
    auto matrix = QuantizedMatrix::Open(shape_, format_, bytes_.As<std::byte>(), kernel, wide);
    EXPECT_TRUE(matrix.ok()) << matrix.status();
    return *std::move(matrix);
  }

  const std::vector<float>& weights() const { return weights_; }
  const std::byte* bytes() const { return bytes_.As<std::byte>(); }

 private:
  MatrixShape shape_;
  QuantizedFormat format_;
  std::vector<float> weights_;
  AlignedBuffer bytes_;
};

inline Packed RandomPacked(const MatrixShape& shape, const QuantizedFormat& format,
                           uint32_t seed = 7) {
  return {shape, format, RandomFloats(shape.inputs * shape.outputs, seed)};
}

// Rows as a product reads them. What lies past their ends is noise.
class Rows {
 public:
  Rows(const std::vector<float>& x, int64_t inputs)
      : count_(static_cast<int64_t>(x.size()) / inputs),
        scales_(count_),
        data_(Allocate(count_ * InputRowBytes(RowFormat::kInt8, inputs))) {
    std::memset(data_.data(), 0xab, data_.bytes());
    for (int64_t r = 0; r < count_; ++r) {
      StoreInputRow(&x[r * inputs], inputs, r, View(inputs));
    }
  }

  InputRows View(int64_t inputs) {
    return {RowFormat::kInt8, data_.As<std::byte>(), InputRowBytes(RowFormat::kInt8, inputs),
            scales_.data()};
  }
  int64_t count() const { return count_; }
  float scale(int64_t row) const { return scales_[row]; }
  int32_t Value(int64_t inputs, int64_t row, int64_t k) const {
    const int64_t stride = InputRowBytes(RowFormat::kInt8, inputs);
    return int32_t{data_.As<uint8_t>()[row * stride + k]} - 128;
  }

 private:
  int64_t count_;
  std::vector<float> scales_;
  AlignedBuffer data_;
};

struct Options {
  bool add = false;
  const float* bias = nullptr;
  float initial = 0;
  int64_t row_split = 0;   // 0: in one call.
  int64_t unit_split = 0;  // 0: in one call.
};

// [rows][columns + 3], of which the last three columns must stay as they were.
inline std::vector<float> Product(const QuantizedMatrix& matrix, Rows& rows,
                                  const Options& options = {}) {
  const int64_t stride = matrix.columns() + 3;
  std::vector<float> y(rows.count() * stride, options.initial);
  const AlignedBuffer scratch = Allocate(matrix.scratch_bytes());
  const int64_t row_step = options.row_split == 0 ? rows.count() : options.row_split;
  const int64_t unit_step = options.unit_split == 0 ? matrix.units() : options.unit_split;
  for (int64_t r = 0; r < rows.count(); r += row_step) {
    for (int64_t u = 0; u < matrix.units(); u += unit_step) {
      const absl::Status status = matrix.Multiply(
          rows.View(matrix.shape().inputs), {r, std::min(rows.count(), r + row_step)},
          {u, std::min(matrix.units(), u + unit_step)},
          {y.data(), stride, options.bias, options.add}, scratch.As<std::byte>());
      EXPECT_TRUE(status.ok()) << status;
    }
  }
  for (int64_t r = 0; r < rows.count(); ++r) {
    for (int64_t c = matrix.columns(); c < stride; ++c) {
      EXPECT_EQ(y[r * stride + c], options.initial) << "row " << r << " was written past its end";
    }
  }
  return y;
}

// The same by plain 64-bit integers and the formula's float steps.
inline std::vector<float> Expected(const QuantizedMatrix& matrix, const Rows& rows,
                                   const Options& options = {}) {
  const MatrixShape& shape = matrix.shape();
  const int64_t stride = matrix.columns() + 3;
  std::vector<float> products(rows.count() * shape.outputs);
  std::vector<int8_t> weights(shape.inputs);
  for (int64_t n = 0; n < shape.outputs; ++n) {
    matrix.OutputWeights(n, weights.data());
    for (int64_t r = 0; r < rows.count(); ++r) {
      int64_t sum = 0;
      for (int64_t k = 0; k < shape.inputs; ++k) {
        sum += int64_t{rows.Value(shape.inputs, r, k)} * weights[k];
      }
      float value = static_cast<float>(sum) * (rows.scale(r) * matrix.OutputScale(n));
      if (options.bias != nullptr) value += options.bias[n];
      products[r * shape.outputs + n] = value;
    }
  }
  std::vector<float> y(rows.count() * stride, options.initial);
  for (int64_t r = 0; r < rows.count(); ++r) {
    float* const row = &y[r * stride];
    if (shape.gated) {
      SwiGlu(&products[r * shape.outputs], nullptr, matrix.columns(), row);
      continue;
    }
    for (int64_t n = 0; n < shape.outputs; ++n) {
      const float value = products[r * shape.outputs + n];
      row[n] = options.add ? row[n] + value : value;
    }
  }
  return y;
}

inline void ExpectSameBits(const std::vector<float>& actual, const std::vector<float>& expected) {
  ASSERT_EQ(actual.size(), expected.size());
  for (size_t i = 0; i < actual.size(); ++i) {
    uint32_t actual_bits;
    uint32_t expected_bits;
    std::memcpy(&actual_bits, &actual[i], 4);
    std::memcpy(&expected_bits, &expected[i], 4);
    ASSERT_EQ(actual_bits, expected_bits)
        << "at " << i << ": " << actual[i] << " for " << expected[i];
  }
}

template <class F>
void OnEveryKernel(const F& body) {
  for (const Int8DotKernel* kernel : SupportedInt8DotKernels()) {
    SCOPED_TRACE(kernel->name);
    body(*kernel);
  }
}

}  // namespace hocket

#endif  // HOCKET_TESTS_RUNTIME_KERNELS_QUANTIZED_MATRIX_HARNESS_H_
