// Quantized products against plain integers and doubles, bit for bit, on every kernel that this CPU
// has.
#include "tests/runtime/kernels/quantized_matrix_harness.h"

namespace hocket {
namespace {

using Kind = QuantizedFormat::Kind;

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

}  // namespace
}  // namespace hocket
