// Attention over paged blocks against plain double-precision arithmetic, and its bits.
#include "runtime/kernels/paged_attention.h"

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

TEST_P(PagedAttentionTest, LaterTokensOfAChunkReachNobodyBefore) {
  TestSequence sequence(GetParam(), 40, 3);
  const auto first = Attended(sequence, RunSettings());
  // Token 25's projections go wrong, in the same tile as its neighbours'.
  const int64_t size = GetParam().QkvSize();
  std::fill_n(sequence.qkv().begin() + 25 * size, size, NAN);
  std::fill_n(sequence.qkv().begin() + 26 * size, size, INFINITY);
  const auto broken = Attended(sequence, RunSettings());
  const int64_t before = 25 * GetParam().OutSize();
  EXPECT_EQ(std::memcmp(first.data(), broken.data(), before * sizeof(float)), 0);
}

// Rows of a step: which sequence, from where, how many tokens.
struct Row {
  const TestSequence* sequence;
  int32_t first_position, tokens;
};

// Sequences side by side in one storage, with their steps' rows computed by a team.
class Batch {
 public:
  Batch(const AttentionShape& shape, int32_t threads, int32_t max_tokens, int32_t max_positions)
      : shape_(shape),
        team_(threads),
        plan_(MakePlan(shape, threads, std::max(max_tokens, max_positions))),
        storage_(shape.Kv(), kRowBlocks * 4) {}

  // Returns the rows' attended values, one after another.
  std::vector<float> Step(const std::vector<Row>& rows) {
    std::vector<float> qkv, cosines, sines;
    std::vector<std::vector<int32_t>> blocks;
    plan_.Clear();
    int32_t token = 0;
    for (const Row& row : rows) {
      const int32_t begin = static_cast<int32_t>(blocks.size()) * kRowBlocks;
      blocks.emplace_back(kRowBlocks);
      std::iota(blocks.back().begin(), blocks.back().end(), begin);
      plan_.Add({blocks.back().data(), token, row.tokens, row.first_position});
      row.sequence->Append(row.first_position, row.tokens, qkv, cosines, sines);
      token += row.tokens;
    }
    plan_.Finish();
    std::vector<float> out(token * shape_.OutSize(), NAN);
    AttentionLayer layer = rows[0].sequence->Layer(storage_, out);
    layer.qkv = qkv.data();
    layer.cosines = cosines.data();
    layer.sines = sines.data();
    RunOnTeam(layer);
    return out;
  }
  const AttentionPlan& plan() const { return plan_; }

 private:
  static constexpr int32_t kRowBlocks = 80;

  void RunOnTeam(const AttentionLayer& layer) {
    team_.Run([&](TeamMember& member) {
      std::vector<std::byte> memory(plan_.scratch_bytes() + 64);
      std::byte* const scratch =
          memory.data() + (64 - reinterpret_cast<uintptr_t>(memory.data()) % 64);
      member.ForEach(plan_.stores(), [&](int64_t i) { plan_.Store(i, layer); });
      member.Barrier();
      member.ForEach(plan_.tasks(), [&](int64_t i) { plan_.Run(i, layer, scratch); });
      member.Barrier();
      member.ForEach(plan_.merges(), [&](int64_t i) { plan_.Merge(i, layer); });
    });
  }

  AttentionShape shape_;
  Team team_;
  AttentionPlan plan_;
  Storage storage_;
};

TEST_P(PagedAttentionTest, RowsOfABatchOnSeveralThreadsAreAsAlone) {
  const AttentionShape& shape = GetParam();
  const TestSequence a(shape, 500, 4), b(shape, 130, 5), c(shape, 1200, 6);
  const auto alone_a = Attended(a, RunSettings());
  const auto alone_b = Attended(b, RunSettings());
  const auto alone_c = Attended(c, RunSettings());
  const int64_t size = shape.OutSize();
  for (const int32_t threads : {1, 2, 5}) {
    Batch batch(shape, threads, 1700, 1200);
    std::vector<float> first = batch.Step({{&a, 0, 499}, {&b, 0, 100}, {&c, 0, 1100}});
    std::vector<float> second = batch.Step({{&a, 499, 1}, {&b, 100, 30}, {&c, 1100, 100}});
    const auto expect = [&](const std::vector<float>& out, int64_t token, int64_t count,
                            const std::vector<float>& alone, int64_t position) {
      EXPECT_EQ(
          std::memcmp(&out[token * size], &alone[position * size], count * size * sizeof(float)), 0)
          << threads << " threads, position " << position;
    };
    expect(first, 0, 499, alone_a, 0);
    expect(first, 499, 100, alone_b, 0);
    expect(first, 599, 1100, alone_c, 0);
    expect(second, 0, 1, alone_a, 499);
    expect(second, 1, 30, alone_b, 100);
    expect(second, 31, 100, alone_c, 1100);
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

class LongContextTest : public testing::TestWithParam<KvType> {};

TEST_P(LongContextTest, AgreesAndKeepsItsBitsHoweverShared) {
  const AttentionShape shape{3, 1, 64, 16, GetParam()};
  const TestSequence sequence(shape, 2100, 7);
  const auto first = Attended(sequence, RunSettings());
  ExpectAgrees(sequence, first, {1023, 1024, 1500, 2047, 2048, 2099});
  for (const int32_t threads : {2, 3, 64}) {
    RunSettings settings;
    settings.threads = threads;
    settings.chunks = {2000, 20, 60, 1};
    EXPECT_TRUE(SameBits(first, Attended(sequence, settings))) << threads;
    settings.chunks = {512};
    EXPECT_TRUE(SameBits(first, Attended(sequence, settings))) << threads;
  }
}

INSTANTIATE_TEST_SUITE_P(Types, LongContextTest,
                         testing::Values(KvType::kF32, KvType::kBf16, KvType::kInt8));

constexpr AttentionShape kSmall{9, 3, 64, 16, KvType::kBf16};

AttentionPlan PlanOf(int32_t threads, const std::vector<AttentionRow>& rows) {
  AttentionPlan plan = MakePlan(kSmall, threads, 8192);
  plan.Clear();
  for (const AttentionRow& row : rows) plan.Add(row);
  plan.Finish();
  return plan;
}

TEST(AttentionPlanTest, OnlyRowsTooLongForOneTaskAreStoredApart) {
  EXPECT_EQ(PlanOf(2, {{nullptr, 0, 1, 8000}, {nullptr, 1, 1, 0}, {nullptr, 2, 9, 0}}).stores(), 0);
  EXPECT_EQ(PlanOf(2, {{nullptr, 0, 1, 8000}, {nullptr, 1, 300, 100}}).stores(), 300);
}

TEST(AttentionPlanTest, OneTaskAKvHeadAndNoMergesWhereSharingDoesNotPay) {
  const std::vector<AttentionRow> decode(32, {nullptr, 0, 1, 1000});
  for (const int32_t threads : {1, 2}) {
    const AttentionPlan plan = PlanOf(threads, decode);
    EXPECT_EQ(plan.tasks(), 32 * 3);
    EXPECT_EQ(plan.merges(), 0);
  }
  EXPECT_EQ(PlanOf(1, {{nullptr, 0, 1, 8000}}).tasks(), 3);
  EXPECT_EQ(PlanOf(64, {{nullptr, 0, 1, 200}}).tasks(), 3);
  EXPECT_EQ(PlanOf(64, {{nullptr, 0, 1, 200}}).merges(), 0);
}

TEST(AttentionPlanTest, ALongContextGivesManyThreadsWork) {
  const AttentionPlan two = PlanOf(2, {{nullptr, 0, 1, 8000}});
  EXPECT_GE(two.tasks(), 6);
  EXPECT_EQ(two.merges(), 3);
  EXPECT_GE(PlanOf(64, {{nullptr, 0, 1, 8000}}).tasks(), 64);
  // Also where many short rows are beside it.
  std::vector<AttentionRow> rows(20, {nullptr, 0, 1, 10});
  rows.push_back({nullptr, 0, 1, 8000});
  EXPECT_EQ(PlanOf(16, rows).merges(), 3);
}

TEST(AttentionPlanTest, AStepAllocatesNothing) {
  AttentionPlan plan = MakePlan(kSmall, 8, 4096);
  const int64_t bytes = plan.bytes();
  for (const int32_t tokens : {1, 48, 4096}) {
    plan.Clear();
    for (int32_t i = 0; i + tokens <= 4096; i += tokens) plan.Add({nullptr, i, tokens, 0});
    plan.Finish();
    EXPECT_EQ(plan.bytes(), bytes) << tokens;
  }
  plan.Clear();
  for (int32_t i = 0; i < 4096; ++i) plan.Add({nullptr, i, 1, i % 7 == 0 ? 4095 : 10});
  plan.Finish();
  EXPECT_EQ(plan.bytes(), bytes);
}

TEST(AttentionPlanTest, RefusesHeadsThatKernelsCannotTake) {
  for (const int32_t head_dim : {12, 264}) {
    const auto plan = AttentionPlan::Create({{KvType::kBf16, 1, head_dim, 16}, 1, 1, 16, 16});
    EXPECT_EQ(plan.status().code(), absl::StatusCode::kUnimplemented);
    EXPECT_NE(plan.status().message().find(std::to_string(head_dim)), std::string::npos);
  }
}

}  // namespace
}  // namespace hocket
