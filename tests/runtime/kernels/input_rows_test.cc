// Rows in the forms that products read, against the plain formulas.
#include <algorithm>
#include <cmath>
#include <vector>

#include "gtest/gtest.h"
#include "runtime/kernels/aligned_buffer.h"
#include "runtime/kernels/bf16.h"
#include "runtime/kernels/weight_matrix.h"
#include "tests/runtime/kernels/simd_targets.h"

namespace hocket {
namespace {

AlignedBuffer Allocate(int64_t bytes) {
  auto buffer = AlignedBuffer::Allocate(bytes, "test");
  EXPECT_TRUE(buffer.ok()) << buffer.status();
  return *std::move(buffer);
}

// A row as RowFormat::kInt8, without the 128.
struct Int8Row {
  explicit Int8Row(const std::vector<float>& x) {
    const auto inputs = static_cast<int64_t>(x.size());
    const int64_t bytes = InputRowBytes(RowFormat::kInt8, inputs);
    const AlignedBuffer data = Allocate(bytes);
    StoreInputRow(x.data(), inputs, 0, {RowFormat::kInt8, data.As<std::byte>(), bytes, &scale});
    for (int64_t k = 0; k < inputs; ++k) values.push_back(int32_t{data.As<uint8_t>()[k]} - 128);
  }

  float scale = -1;
  std::vector<int32_t> values;
};

TEST(StoreInputRow, FollowsThePlainFormula) {
  for (const int64_t inputs : {1, 5, 16, 63, 64, 577}) {
    for (const float scale : {1.0f, 3e4f, 1e-20f, 1e-43f}) {
      const auto x = RandomFloats(inputs, 40 + inputs, scale);
      float largest = 0;
      for (const float value : x) largest = std::max(largest, std::fabs(value));
      const float row_scale = largest / 127.0f;
      OnEveryTarget([&] {
        const Int8Row row(x);
        ASSERT_EQ(row.scale, row_scale);
        for (int64_t k = 0; k < inputs; ++k) {
          const float rounded = std::nearbyint(x[k] / row_scale);
          ASSERT_EQ(row.values[k],
                    row_scale == 0 ? 0 : std::min(127.0f, std::max(-127.0f, rounded)));
        }
      });
    }
  }
}

TEST(StoreInputRow, RoundsTiesToEven) {
  const std::vector<float> x = {127.0f, 0.5f, 1.5f, 2.5f, -0.5f, -1.5f, -2.5f, 126.5f};
  const Int8Row row(x);
  const int32_t expected[] = {127, 0, 2, 2, 0, -2, -2, 126};
  for (int64_t k = 0; k < 8; ++k) EXPECT_EQ(row.values[k], expected[k]);
}

TEST(StoreInputRow, KeepsFloatsAndRoundsToBf16) {
  const auto x = RandomFloats(70, 3);
  for (const RowFormat format : {RowFormat::kF32, RowFormat::kBf16}) {
    EXPECT_EQ(InputRowBytes(format, 70) % 64, 0);
    const AlignedBuffer data = Allocate(2 * InputRowBytes(format, 70));
    StoreInputRow(x.data(), 70, 1,
                  {format, data.As<std::byte>(), InputRowBytes(format, 70), nullptr});
    const std::byte* const row = data.As<std::byte>() + InputRowBytes(format, 70);
    for (int64_t k = 0; k < 70; ++k) {
      if (format == RowFormat::kF32) {
        EXPECT_EQ(reinterpret_cast<const float*>(row)[k], x[k]);
      } else {
        EXPECT_EQ(reinterpret_cast<const Bf16*>(row)[k].bits, ToBf16(x[k]).bits);
      }
    }
  }
}

TEST(StoreInputRow, ARowOfZerosHasScaleZero) {
  const Int8Row row(std::vector<float>(70, 0.0f));
  EXPECT_EQ(row.scale, 0.0f);
  EXPECT_EQ(row.values, std::vector<int32_t>(70, 0));
}

}  // namespace
}  // namespace hocket
