// Attention over paged blocks against plain double-precision arithmetic, and its bits.
#include "runtime/kernels/paged_attention.h"

#include <set>

#include "runtime/kernels/attention_kernels.h"
#include "runtime/kernels/team.h"
#include "tests/runtime/kernels/attention_harness.h"

namespace hocket {
namespace {

class PagedAttentionTest : public testing::TestWithParam<AttentionShape> {};

// Error allowed, as a part of the values' root mean square.
struct Tolerance {
  double mean;  // Root mean square.
  double most;
};
Tolerance ToleranceOf(KvType type) {
  switch (type) {
    case KvType::kF32:
      return {1e-6, 1e-5};
    case KvType::kBf16:
      return {1e-2, 0.1};
    case KvType::kInt8:
      return {2e-2, 0.2};
  }
  return {};
}

void ExpectAgrees(const TestSequence& sequence, const std::vector<float>& out,
                  const std::vector<int32_t>& positions) {
  const AttentionShape& shape = sequence.shape();
  double squares = 0, errors = 0, most = 0;
  for (const int32_t position : positions) {
    for (int32_t head = 0; head < shape.heads; ++head) {
      const auto expected = sequence.Expected(position, head);
      for (int32_t i = 0; i < shape.head_dim; ++i) {
        const double actual = out[position * shape.OutSize() + head * shape.head_dim + i];
        const double error = std::abs(actual - expected[i]);
        ASSERT_FALSE(std::isnan(error)) << "position " << position << " head " << head;
        squares += expected[i] * expected[i];
        errors += error * error;
        most = std::max(most, error);
      }
    }
  }
  const Tolerance tolerance = ToleranceOf(shape.type);
  const double size = std::sqrt(squares / (positions.size() * shape.OutSize()));
  EXPECT_LT(std::sqrt(errors / squares), tolerance.mean);
  EXPECT_LT(most / size, tolerance.most);
}

TEST_P(PagedAttentionTest, AgreesWithPlainArithmetic) {
  const TestSequence sequence(GetParam(), 600, 1);
  OnEveryTarget([&] {
    ExpectAgrees(sequence, Attended(sequence, RunSettings()),
                 {0, 1, 2, 15, 16, 17, 31, 100, 254, 255, 256, 257, 511, 512, 513, 599});
  });
}

TEST_P(PagedAttentionTest, BitsDependOnTheSequenceAlone) {
  const TestSequence sequence(GetParam(), 600, 2);
  const auto first = Attended(sequence, RunSettings());
  const std::vector<int32_t> odd = {7, 1, 130, 2, 61, 33, 5, 17, 256, 3};
  OnEveryTarget([&] {
    EXPECT_TRUE(SameBits(first, Attended(sequence, RunSettings()))) << "a target differs";
    EXPECT_TRUE(SameBits(first, Attended(sequence, {.chunks = {1}}))) << "one by one";
    EXPECT_TRUE(SameBits(first, Attended(sequence, {.chunks = odd}))) << "odd chunks";
  });
  EXPECT_TRUE(SameBits(first, Attended(sequence, {.chunks = {64}, .threads = 64}))) << "shared";
  EXPECT_TRUE(SameBits(first, Attended(sequence, {.chunks = {599, 1}, .threads = 64})));
  EXPECT_TRUE(SameBits(first, Attended(sequence, {.chunks = {48, 5}, .block_seed = 3}))) << "moved";
  EXPECT_TRUE(SameBits(first, Attended(sequence, {.order = TaskOrder::kBackward})));
  for (const uint8_t garbage : {0xff, 0x7f, 0x80}) {
    EXPECT_TRUE(SameBits(first, Attended(sequence, {.chunks = odd, .garbage = garbage})));
    EXPECT_TRUE(SameBits(first, Attended(sequence, {.chunks = {1}, .garbage = garbage})));
  }
}

std::vector<AttentionShape> Shapes() {
  std::vector<AttentionShape> shapes;
  for (const KvType type : {KvType::kF32, KvType::kBf16, KvType::kInt8}) {
    shapes.push_back({2, 2, 8, 16, type});
    shapes.push_back({9, 3, 64, 16, type});
    shapes.push_back({8, 2, 64, 64, type});
    shapes.push_back({7, 1, 80, 32, type});
    shapes.push_back({4, 1, 96, 16, type});
    shapes.push_back({4, 1, 128, 48, type});
    shapes.push_back({3, 1, 24, 32, type});
    shapes.push_back({2, 2, 256, 16, type});
  }
  return shapes;
}

INSTANTIATE_TEST_SUITE_P(Shapes, PagedAttentionTest, testing::ValuesIn(Shapes()),
                         [](const auto& info) { return info.param.Name(); });

}  // namespace
}  // namespace hocket
