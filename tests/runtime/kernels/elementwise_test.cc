// Norms, rotary, SwiGLU and conversions against plain double-precision arithmetic.
#include <cmath>
#include <limits>

#include "gtest/gtest.h"
#include "runtime/kernels/activation.h"
#include "runtime/kernels/rms_norm.h"
#include "runtime/kernels/rotary.h"
#include "tests/runtime/kernels/simd_targets.h"

namespace hocket {
namespace {

TEST(Bf16, RoundsToNearestEvenAndKeepsNan) {
  EXPECT_EQ(ToBf16(1.0f).bits, 0x3f80);
  EXPECT_EQ(ToBf16(std::bit_cast<float>(0x3f808000u)).bits, 0x3f80);  // Tie, to even.
  EXPECT_EQ(ToBf16(std::bit_cast<float>(0x3f818000u)).bits, 0x3f82);
  EXPECT_EQ(ToBf16(std::bit_cast<float>(0x3f808001u)).bits, 0x3f81);
  EXPECT_TRUE(std::isnan(ToF32(ToBf16(std::bit_cast<float>(0x7fffffffu)))));
  EXPECT_EQ(ToF32(ToBf16(-std::numeric_limits<float>::infinity())),
            -std::numeric_limits<float>::infinity());
}

TEST(F16, WidensExactly) {
  EXPECT_EQ(ToF32(F16{0x3c00}), 1.0f);
  EXPECT_EQ(ToF32(F16{0xc000}), -2.0f);
  EXPECT_EQ(ToF32(F16{0x0001}), 0x1p-24f);
  EXPECT_EQ(ToF32(F16{0x83ff}), -1023 * 0x1p-24f);
  EXPECT_EQ(ToF32(F16{0x7bff}), 65504.0f);
  EXPECT_EQ(ToF32(F16{0x7c00}), std::numeric_limits<float>::infinity());
  EXPECT_TRUE(std::isnan(ToF32(F16{0x7e00})));
}

TEST(Convert, VectorsRoundAsScalarsDo) {
  std::vector<float> values = RandomFloats(1001, 3, 1e4f);
  values[17] = std::numeric_limits<float>::quiet_NaN();
  values[18] = std::numeric_limits<float>::infinity();
  values[19] = std::bit_cast<float>(0x7fffffffu);
  OnEveryTarget([&] {
    std::vector<Bf16> rounded(values.size());
    Convert(values.data(), static_cast<int64_t>(values.size()), rounded.data());
    for (size_t i = 0; i < values.size(); ++i) {
      ASSERT_EQ(rounded[i].bits, ToBf16(values[i]).bits) << values[i];
    }
    std::vector<float> wide(values.size());
    Convert(rounded.data(), static_cast<int64_t>(values.size()), wide.data());
    for (size_t i = 20; i < values.size(); ++i) ASSERT_EQ(wide[i], ToF32(rounded[i]));
  });
}

TEST(AddRmsNorm, AddsThenNormalizesTheSameOnEveryTarget) {
  for (const int32_t hidden : {8, 40, 576, 1003}) {
    const auto delta = RandomFloats(hidden, 1), bias = RandomFloats(hidden, 2);
    const auto start = RandomFloats(hidden, 3, 4.0f), scale = RandomFloats(hidden, 4);
    double squares = 0;
    for (int32_t i = 0; i < hidden; ++i) {
      squares += std::pow(double{start[i]} + delta[i] + bias[i], 2);
    }
    std::vector<float> first;
    OnEveryTarget([&] {
      std::vector<float> residual = start, out(hidden);
      AddRmsNorm({scale.data(), 1e-5f, hidden}, delta.data(), bias.data(), residual.data(),
                 out.data());
      for (int32_t i = 0; i < hidden; ++i) {
        const double x = double{start[i]} + delta[i] + bias[i];
        EXPECT_NEAR(residual[i], x, 1e-6);
        EXPECT_NEAR(out[i], x / std::sqrt(squares / hidden + 1e-5) * scale[i], 2e-6);
      }
      if (first.empty()) first = out;
      EXPECT_EQ(first, out) << "targets differ";
    });
  }
}

TEST(AddRmsNorm, WithoutDeltaLeavesTheResidual) {
  const auto start = RandomFloats(64, 3), scale = RandomFloats(64, 4);
  std::vector<float> residual = start;
  std::vector<Bf16> out(64);
  AddRmsNorm({scale.data(), 1e-5f, 64}, nullptr, nullptr, residual.data(), out.data());
  EXPECT_EQ(residual, start);
}

TEST(SwiGlu, AgreesOverTheWholeRange) {
  const int64_t n = 37;
  std::vector<float> gate_up = RandomFloats(2 * n, 5, 10.0f);
  gate_up[0] = 1e6f;
  gate_up[1] = -1e6f;
  gate_up[2] = 0.0f;
  gate_up[3] = -100.0f;
  const auto bias = RandomFloats(2 * n, 6);
  OnEveryTarget([&] {
    for (const bool biased : {false, true}) {
      std::vector<float> out(n);
      SwiGlu(gate_up.data(), biased ? bias.data() : nullptr, n, out.data());
      for (int64_t i = 0; i < n; ++i) {
        const double gate = double{gate_up[i]} + (biased ? bias[i] : 0);
        const double up = double{gate_up[n + i]} + (biased ? bias[n + i] : 0);
        const double expected = gate / (1 + std::exp(-gate)) * up;
        EXPECT_NEAR(out[i], expected, 1e-6 + 2e-6 * std::abs(expected)) << i;
      }
    }
  });
}

TEST(RotateHead, TurnsHalvesAfterTheBiasAndScales) {
  for (const int32_t dim : {8, 24, 64, 80}) {
    const int32_t half = dim / 2, position = 1000;
    std::vector<float> frequencies;
    for (int32_t i = 0; i < half; ++i) {
      frequencies.push_back(static_cast<float>(std::pow(10000.0, -2.0 * i / dim)));
    }
    std::vector<float> cosines(half), sines(half);
    RotaryAngles(frequencies, position, cosines.data(), sines.data());
    const auto x = RandomFloats(dim, 8), bias = RandomFloats(dim, 9);
    std::vector<float> first;
    OnEveryTarget([&] {
      for (const bool biased : {false, true}) {
        std::vector<float> out(dim);
        RotateHead({dim, cosines.data(), sines.data()}, x.data(), biased ? bias.data() : nullptr,
                   0.25f, out.data());
        for (int32_t i = 0; i < half; ++i) {
          const double angle = double{frequencies[i] * static_cast<float>(position)};
          const double low = double{x[i]} + (biased ? bias[i] : 0);
          const double high = double{x[half + i]} + (biased ? bias[half + i] : 0);
          EXPECT_NEAR(out[i], 0.25 * (low * std::cos(angle) - high * std::sin(angle)), 1e-6);
          EXPECT_NEAR(out[half + i], 0.25 * (high * std::cos(angle) + low * std::sin(angle)), 1e-6);
        }
        if (first.empty()) first = out;
        if (!biased) {
          EXPECT_EQ(first, out) << "targets differ";
        }
      }
    });
  }
}

}  // namespace
}  // namespace hocket
