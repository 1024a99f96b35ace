// Quantized products against plain integers and doubles, bit for bit, on every kernel that this CPU
// has.
#include "runtime/kernels/quantized_matrix.h"

#include <cmath>
#include <cstring>
#include <random>
#include <thread>
#include <vector>

#include "gtest/gtest.h"
#include "runtime/kernels/activation.h"
#include "runtime/kernels/aligned_buffer.h"
#include "tests/runtime/kernels/simd_targets.h"

namespace hocket {
namespace {

using Kind = QuantizedFormat::Kind;

constexpr QuantizedFormat kInt8{Kind::kInt8, 0};
constexpr QuantizedFormat kInt4By32{Kind::kInt4, 32};
constexpr QuantizedFormat kInt4By128{Kind::kInt4, 128};
constexpr QuantizedFormat kFormats[] = {kInt8, kInt4By32, kInt4By128};

AlignedBuffer Allocate(int64_t bytes) {
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

Packed RandomPacked(const MatrixShape& shape, const QuantizedFormat& format, uint32_t seed = 7) {
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
std::vector<float> Product(const QuantizedMatrix& matrix, Rows& rows, const Options& options = {}) {
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
std::vector<float> Expected(const QuantizedMatrix& matrix, const Rows& rows,
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

void ExpectSameBits(const std::vector<float>& actual, const std::vector<float>& expected) {
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

TEST(QuantizedMatrix, EveryKernelGivesThePlainFormulasBitsForEveryRowCount) {
  constexpr int64_t kInputs = 200;
  const MatrixShape shape{kInputs, 75, false};
  for (const QuantizedFormat& format : kFormats) {
    const Packed packed = RandomPacked(shape, format);
    for (int64_t count = 1; count <= 33; ++count) {
      SCOPED_TRACE(testing::Message() << count << " rows, group " << format.group);
      Rows rows(RandomFloats(count * kInputs, 100 + count), kInputs);
      const auto expected = Expected(*packed.Open(), rows);
      OnEveryKernel([&](const Int8DotKernel& kernel) {
        ExpectSameBits(Product(*packed.Open(kernel), rows), expected);
      });
    }
  }
}

TEST(QuantizedMatrix, EveryKernelGivesThePlainFormulasBitsForManyRows) {
  constexpr int64_t kInputs = 192;
  for (const QuantizedFormat& format : kFormats) {
    const Packed packed = RandomPacked({kInputs, 64, false}, format);
    for (const int64_t count : {95, 96, 97, 230}) {
      SCOPED_TRACE(testing::Message() << count << " rows, group " << format.group);
      Rows rows(RandomFloats(count * kInputs, count), kInputs);
      const auto expected = Expected(*packed.Open(), rows);
      OnEveryKernel([&](const Int8DotKernel& kernel) {
        ExpectSameBits(Product(*packed.Open(kernel), rows), expected);
      });
    }
  }
}

TEST(QuantizedMatrix, ShapesNeedNotFillTheirPanels) {
  for (const bool gated : {false, true}) {
    for (const auto& [inputs, outputs] : {std::pair{1, 2},
                                          {3, 10},
                                          {63, 32},
                                          {64, 34},
                                          {65, 66},
                                          {130, 64},
                                          {127, 130},
                                          {260, 128},
                                          {576, 6}}) {
      for (const QuantizedFormat& format : kFormats) {
        SCOPED_TRACE(testing::Message() << inputs << " to " << outputs << (gated ? " gated" : "")
                                        << ", group " << format.group);
        const Packed packed = RandomPacked({inputs, outputs, gated}, format);
        Rows rows(RandomFloats(int64_t{5} * inputs, 3), inputs);
        const auto bias = RandomFloats(outputs, 4);
        for (const bool with_bias : {false, true}) {
          for (const bool add : {false, true}) {
            if (add && gated) continue;
            const Options options{
                .add = add, .bias = with_bias ? bias.data() : nullptr, .initial = 0.75f};
            const auto expected = Expected(*packed.Open(), rows, options);
            OnEveryKernel([&](const Int8DotKernel& kernel) {
              ExpectSameBits(Product(*packed.Open(kernel), rows, options), expected);
            });
          }
        }
      }
    }
  }
}

TEST(QuantizedMatrix, TheSharingOutOfRowsAndUnitsDoesNotChangeTheBits) {
  constexpr int64_t kInputs = 150;
  for (const bool gated : {false, true}) {
    for (const QuantizedFormat& format : kFormats) {
      const Packed packed = RandomPacked({kInputs, 310, gated}, format);
      Rows rows(RandomFloats(29 * kInputs, 5), kInputs);
      const auto whole = Product(*packed.Open(), rows);
      OnEveryKernel([&](const Int8DotKernel& kernel) {
        for (const int64_t row_split : {1, 2, 3, 7, 28}) {
          for (const int64_t unit_split : {1, 2, 5}) {
            ExpectSameBits(Product(*packed.Open(kernel), rows,
                                   {.row_split = row_split, .unit_split = unit_split}),
                           whole);
          }
        }
      });
    }
  }
}

TEST(QuantizedMatrix, EverySimdTargetFinishesARowAlike) {
  constexpr int64_t kInputs = 64;
  for (const bool gated : {false, true}) {
    const Packed packed = RandomPacked({kInputs, 90, gated}, kInt8);
    Rows rows(RandomFloats(4 * kInputs, 5), kInputs);
    const auto expected = Product(*packed.Open(), rows);
    OnEveryTarget([&] { ExpectSameBits(Product(*packed.Open(), rows), expected); });
  }
}

// Where the CPU lacks what oneDNN is used for, this runs oneDNN's plain reference.
TEST(QuantizedMatrix, OneDnnGivesTheBitsOfOurKernels) {
  constexpr int64_t kInputs = 70;
  for (const bool gated : {false, true}) {
    for (const QuantizedFormat& format : kFormats) {
      const Packed packed = RandomPacked({kInputs, 650, gated}, format);
      const auto bias = RandomFloats(650, 4);
      for (const int64_t count : {15, 53}) {
        SCOPED_TRACE(testing::Message()
                     << count << " rows, group " << format.group << (gated ? ", gated" : ""));
        Rows rows(RandomFloats(count * kInputs, count), kInputs);
        const Options options{.add = !gated, .bias = bias.data(), .initial = 0.5f};
        const auto expected = Product(*packed.Open(), rows, options);
        OnEveryKernel([&](const Int8DotKernel& kernel) {
          const auto matrix = packed.Open(kernel, WideProducts::kOneDnn);
          if (format.kind == Kind::kInt8) {
            EXPECT_NE(matrix->kernel(), kernel.name) << "oneDNN was not used";
          }
          ExpectSameBits(Product(*matrix, rows, options), expected);
        });
      }
    }
  }
}

TEST(QuantizedMatrix, ThreadsMayShareOneDnnsProducts) {
  constexpr int64_t kInputs = 64;
  const Packed packed = RandomPacked({kInputs, 1024, false}, kInt8);
  Rows rows(RandomFloats(64 * kInputs, 3), kInputs);
  const auto matrix = packed.Open(BestInt8DotKernel(), WideProducts::kOneDnn);
  const auto expected = Product(*packed.Open(), rows);
  // More threads than there may be products at a time.
  std::vector<std::vector<float>> products(9);
  std::vector<std::thread> threads;
  for (auto& product : products) {
    threads.emplace_back([&] { product = Product(*matrix, rows); });
  }
  for (std::thread& thread : threads) thread.join();
  for (const auto& product : products) ExpectSameBits(product, expected);
}

// Weights whose rounding is exact: small integers times a power of 2, the largest among them.
std::vector<float> IntegerWeights(int64_t count, int64_t inputs, int32_t largest, float scale,
                                  uint32_t seed) {
  std::mt19937 random(seed);
  std::vector<float> weights(count);
  for (float& w : weights) {
    w = scale * static_cast<float>(static_cast<int32_t>(random() % (2 * largest + 1)) - largest);
  }
  for (int64_t i = 0; i < count; i += inputs) weights[i] = scale * static_cast<float>(largest);
  return weights;
}

TEST(QuantizedMatrix, Int8KeepsWeightsThatAreMultiplesOfTheScale) {
  constexpr int64_t kInputs = 96;
  const MatrixShape shape{kInputs, 40, true};
  const Packed packed(shape, kInt8, IntegerWeights(kInputs * 40, kInputs, 127, 0x1p-9f, 11));
  const auto matrix = packed.Open();
  std::vector<int8_t> weights(kInputs);
  for (int64_t n = 0; n < 40; ++n) {
    matrix->OutputWeights(n, weights.data());
    EXPECT_EQ(matrix->OutputScale(n), 0x1p-9f);
    for (int64_t k = 0; k < kInputs; ++k) {
      EXPECT_EQ(static_cast<float>(weights[k]) * 0x1p-9f, packed.weights()[n * kInputs + k]);
    }
  }
}

TEST(QuantizedMatrix, ProductsOfRealNumbersComeNear) {
  constexpr int64_t kInputs = 512;
  constexpr int64_t kOutputs = 64;
  for (const QuantizedFormat& format : kFormats) {
    const Packed packed = RandomPacked({kInputs, kOutputs, false}, format);
    const auto x = RandomFloats(3 * kInputs, 9);
    Rows rows(x, kInputs);
    const auto y = Product(*packed.Open(), rows);
    double squares = 0;
    double errors = 0;
    for (int64_t r = 0; r < 3; ++r) {
      for (int64_t n = 0; n < kOutputs; ++n) {
        double exact = 0;
        for (int64_t k = 0; k < kInputs; ++k) {
          exact += double{x[r * kInputs + k]} * packed.weights()[n * kInputs + k];
        }
        squares += exact * exact;
        errors += std::pow(y[r * (kOutputs + 3) + n] - exact, 2);
      }
    }
    // Uniform weights: a step of 1/127 or 1/7.5 of the largest, whose square over 12 is the error.
    EXPECT_LT(std::sqrt(errors / squares), format.kind == Kind::kInt8 ? 0.01 : 0.09)
        << "group " << format.group;
  }
}

// Groups of very different size each keep their own resolution.
TEST(QuantizedMatrix, Int4MultipliersFollowTheGroups) {
  constexpr int64_t kInputs = 256;
  auto weights = RandomFloats(kInputs * 32, 21);
  for (int64_t i = 0; i < static_cast<int64_t>(weights.size()); ++i) {
    if (i % kInputs / 32 % 2 == 1) weights[i] *= 0.1f;
  }
  const auto error_of_small_groups = [&](const QuantizedFormat& format) {
    const Packed packed({kInputs, 32, false}, format, weights);
    const auto matrix = packed.Open();
    std::vector<int8_t> quantized(kInputs);
    double errors = 0;
    double squares = 0;
    for (int64_t n = 0; n < 32; ++n) {
      matrix->OutputWeights(n, quantized.data());
      for (int64_t k = 0; k < kInputs; ++k) {
        if (k / 32 % 2 == 0) continue;
        const double w = weights[n * kInputs + k];
        errors += std::pow(w - double{matrix->OutputScale(n)} * quantized[k], 2);
        squares += w * w;
      }
    }
    return std::sqrt(errors / squares);
  };
  EXPECT_LT(error_of_small_groups(kInt4By32), 0.13);
  EXPECT_GT(error_of_small_groups(kInt4By128), 0.3);
}

TEST(QuantizedMatrix, Int4EqualsInt8OfItsEffectiveWeights) {
  constexpr int64_t kInputs = 320;
  constexpr int64_t kOutputs = 50;
  for (const QuantizedFormat& format : {kInt4By32, kInt4By128}) {
    const Packed packed = RandomPacked({kInputs, kOutputs, false}, format, 31);
    const auto int4 = packed.Open();
    // As int8 with a 127 in a row of its own, so that the scale is 1.
    std::vector<float> effective(kOutputs * (kInputs + 1));
    std::vector<int8_t> weights(kInputs);
    for (int64_t n = 0; n < kOutputs; ++n) {
      int4->OutputWeights(n, weights.data());
      for (int64_t k = 0; k < kInputs; ++k) effective[n * (kInputs + 1) + k] = weights[k];
      effective[n * (kInputs + 1) + kInputs] = 127.0f;
    }
    const Packed as_int8({kInputs + 1, kOutputs, false}, kInt8, effective);
    const int64_t count = 19;
    const auto x = RandomFloats(count * kInputs, 32);
    std::vector<float> wider(count * (kInputs + 1));
    for (int64_t r = 0; r < count; ++r) {
      std::copy_n(&x[r * kInputs], kInputs, &wider[r * (kInputs + 1)]);
    }
    Rows rows(x, kInputs);
    Rows wider_rows(wider, kInputs + 1);
    OnEveryKernel([&](const Int8DotKernel& kernel) {
      const auto int8_sums = Product(*as_int8.Open(kernel), wider_rows);
      const auto y = Product(*packed.Open(kernel), rows);
      for (int64_t r = 0; r < count; ++r) {
        for (int64_t n = 0; n < kOutputs; ++n) {
          // Both are an integer sum times scales; here the integers are compared.
          const float scale = rows.scale(r) * int4->OutputScale(n);
          const float sum = std::nearbyint(int8_sums[r * (kOutputs + 3) + n] / rows.scale(r));
          ASSERT_EQ(y[r * (kOutputs + 3) + n], sum * scale);
        }
      }
    });
  }
}

TEST(QuantizedMatrix, TheLargestSumsFit) {
  for (const int64_t inputs : {14336, 65536}) {
    for (const float sign : {1.0f, -1.0f}) {
      for (const QuantizedFormat& format : kFormats) {
        SCOPED_TRACE(testing::Message() << inputs << " inputs, group " << format.group);
        const Packed packed({inputs, 33, false}, format,
                            std::vector<float>(33 * inputs, sign * 1.0f));
        for (const int64_t count : {1, 2, 20}) {
          Rows rows(std::vector<float>(count * inputs, -3.0f), inputs);
          const auto expected = Expected(*packed.Open(), rows);
          OnEveryKernel([&](const Int8DotKernel& kernel) {
            ExpectSameBits(Product(*packed.Open(kernel), rows), expected);
          });
        }
      }
    }
  }
}

// Signs by turns are the worst for kernels that add up pairs in 16 bits.
TEST(QuantizedMatrix, ExtremeWeightsDoNotSaturate) {
  constexpr int64_t kInputs = 256;
  std::mt19937 random(77);
  std::vector<float> weights(kInputs * 64);
  for (float& w : weights) w = random() % 2 == 0 ? 1.0f : -1.0f;
  std::vector<float> x(4 * kInputs);
  for (int64_t i = 0; i < 4 * kInputs; ++i) {
    x[i] = i / kInputs == 0 ? 1.0f : i / kInputs == 1 ? -1.0f : random() % 2 == 0 ? 1.0f : -1.0f;
  }
  Rows rows(x, kInputs);
  for (const QuantizedFormat& format : kFormats) {
    const Packed packed({kInputs, 64, false}, format, weights);
    const auto expected = Expected(*packed.Open(), rows);
    OnEveryKernel([&](const Int8DotKernel& kernel) {
      ExpectSameBits(Product(*packed.Open(kernel), rows), expected);
    });
  }
}

TEST(QuantizedMatrix, ZeroRowsAndZeroOutputsGiveZero) {
  constexpr int64_t kInputs = 70;
  for (const QuantizedFormat& format : kFormats) {
    auto weights = RandomFloats(kInputs * 40, 5);
    std::fill_n(weights.begin() + 7 * kInputs, kInputs, 0.0f);
    const Packed packed({kInputs, 40, false}, format, weights);
    auto x = RandomFloats(3 * kInputs, 6);
    std::fill_n(x.begin() + kInputs, kInputs, 0.0f);
    Rows rows(x, kInputs);
    EXPECT_EQ(rows.scale(1), 0.0f);
    OnEveryKernel([&](const Int8DotKernel& kernel) {
      const auto y = Product(*packed.Open(kernel), rows);
      for (int64_t c = 0; c < 40; ++c) EXPECT_EQ(y[43 + c], 0.0f);
      for (int64_t r = 0; r < 3; ++r) EXPECT_EQ(y[r * 43 + 7], 0.0f);
      EXPECT_NE(y[0], 0.0f);
    });
  }
}

// A packed matrix may be written to a file and mapped elsewhere.
TEST(QuantizedMatrix, PackedBytesMayMove) {
  const MatrixShape shape{100, 150, true};
  for (const QuantizedFormat& format : kFormats) {
    const Packed packed = RandomPacked(shape, format);
    const int64_t bytes = QuantizedMatrix::PackedBytes(shape, format);
    EXPECT_EQ(bytes % 64, 0);
    const AlignedBuffer moved = Allocate(bytes);
    std::memcpy(moved.data(), packed.bytes(), bytes);
    const auto matrix = QuantizedMatrix::Open(shape, format, moved.As<std::byte>());
    ASSERT_TRUE(matrix.ok()) << matrix.status();
    EXPECT_EQ((*matrix)->bytes(), bytes);
    EXPECT_EQ((*matrix)->units(), QuantizedMatrix::Units(shape));
    Rows rows(RandomFloats(3 * shape.inputs, 8), shape.inputs);
    ExpectSameBits(Product(**matrix, rows), Product(*packed.Open(), rows));
  }
}

TEST(QuantizedMatrix, ImpossibleShapesAreRefusedByName) {
  const auto refusal = [](const MatrixShape& shape, const QuantizedFormat& format) {
    return std::string(QuantizedMatrix::Validate(shape, format).message());
  };
  EXPECT_EQ(refusal({64, 32, false}, kInt8), "");
  EXPECT_NE(refusal({0, 32, false}, kInt8).find("0 inputs"), std::string::npos);
  EXPECT_NE(refusal({70000, 32, false}, kInt8).find("70000 inputs"), std::string::npos);
  EXPECT_NE(refusal({64, 33, true}, kInt8).find("33 gated outputs"), std::string::npos);
  EXPECT_NE(refusal({64, 32, false}, {Kind::kInt4, 64}).find("64"), std::string::npos);
}

}  // namespace
}  // namespace hocket
