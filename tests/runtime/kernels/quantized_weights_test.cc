// What quantized matrices make of weights: scales, multipliers, extremes.
#include "tests/runtime/kernels/quantized_matrix_harness.h"

namespace hocket {
namespace {

using Kind = QuantizedFormat::Kind;

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
