// A step works in memory that was planned while loading: after the first steps nothing is
// allocated.
#include <atomic>
#include <cstdlib>
#include <new>

#include "gtest/gtest.h"
#include "tests/runtime/model/decoder_harness.h"

namespace {
std::atomic<bool> counting{false};
std::atomic<int64_t> allocations{0};

void* Allocate(std::size_t bytes, std::size_t alignment) {
  if (counting.load(std::memory_order_relaxed)) ++allocations;
  void* const memory =
      alignment <= alignof(std::max_align_t)
          ? std::malloc(bytes)
          : std::aligned_alloc(alignment, (bytes + alignment - 1) / alignment * alignment);
  if (memory == nullptr) std::abort();
  return memory;
}
}  // namespace

void* operator new(std::size_t bytes) { return Allocate(bytes, 0); }
void* operator new[](std::size_t bytes) { return Allocate(bytes, 0); }
void* operator new(std::size_t bytes, std::align_val_t alignment) {
  return Allocate(bytes, static_cast<std::size_t>(alignment));
}
void* operator new[](std::size_t bytes, std::align_val_t alignment) {
  return Allocate(bytes, static_cast<std::size_t>(alignment));
}
void operator delete(void* memory) noexcept { std::free(memory); }
void operator delete[](void* memory) noexcept { std::free(memory); }
void operator delete(void* memory, std::size_t) noexcept { std::free(memory); }
void operator delete[](void* memory, std::size_t) noexcept { std::free(memory); }
void operator delete(void* memory, std::align_val_t) noexcept { std::free(memory); }
void operator delete[](void* memory, std::align_val_t) noexcept { std::free(memory); }
void operator delete(void* memory, std::size_t, std::align_val_t) noexcept { std::free(memory); }
void operator delete[](void* memory, std::size_t, std::align_val_t) noexcept { std::free(memory); }

namespace hocket {
namespace {

// A plan of rows of the given lengths, each of its own sequence from position `first` on.
StepPlan MakePlan(const std::vector<int32_t>& row_tokens, int32_t first, int32_t vocabulary) {
  StepPlan plan;
  plan.step = 1;
  for (size_t i = 0; i < row_tokens.size(); ++i) {
    PlanRow row;
    row.sequence = i + 1;
    row.first_position = first;
    row.token_begin = static_cast<int32_t>(plan.tokens.size());
    row.token_count = row_tokens[i];
    row.block_begin = static_cast<int32_t>(plan.blocks.size());
    row.block_count = (first + row.token_count + 15) / 16;
    for (int32_t t = 0; t < row.token_count; ++t) {
      plan.tokens.push_back(static_cast<int32_t>((17 * i + 5 * t + first) % vocabulary));
    }
    for (int32_t b = 0; b < row.block_count; ++b) {
      plan.blocks.push_back(static_cast<int32_t>(i) * 16 + b);
    }
    plan.rows.push_back(row);
  }
  return plan;
}

class StepAllocationTest : public testing::TestWithParam<Precision> {};

TEST_P(StepAllocationTest, StepsOfAnyShapeAllocateNothing) {
  RuntimeSettings settings = SmallSettings(FixtureFolder("llama-gqa"), GetParam());
  settings.max_step_tokens = 256;
  const auto decoder = LoadDecoder(settings);
  if (decoder->info().cpu.find("brg") != std::string::npos) {
    GTEST_SKIP() << "oneDNN allocates within each product: " << decoder->info().cpu;
  }
  const int32_t vocabulary = decoder->info().vocabulary_size;
  const int32_t hidden = decoder->info().hidden_size;

  const std::vector<std::vector<int32_t>> shapes = {{40}, {1}, {1, 1, 1}, {1, 30, 1}, {120, 110}};
  std::vector<float> logits(8 * vocabulary);
  const auto run = [&](const std::vector<int32_t>& shape, int32_t first) {
    const StepPlan plan = MakePlan(shape, first, vocabulary);
    std::vector<int32_t> outputs;
    for (const PlanRow& row : plan.rows) outputs.push_back(row.token_begin + row.token_count - 1);
    const int32_t rows = static_cast<int32_t>(outputs.size());
    allocations = 0;
    counting = true;
    const auto states = decoder->Forward(plan, outputs);
    const bool forward = states.ok();
    const bool head =
        forward && decoder
                       ->Logits({states->data(), static_cast<size_t>(rows) * hidden}, rows,
                                {logits.data(), static_cast<size_t>(rows) * vocabulary})
                       .ok();
    counting = false;
    EXPECT_TRUE(forward && head);
    return allocations.load();
  };
  run(shapes[0], 0);  // The team's threads are made by the first step.
  for (const int32_t first : {0, 3, 64}) {
    for (const auto& shape : shapes) {
      EXPECT_EQ(run(shape, first), 0)
          << shape.size() << " rows from position " << first << " on " << decoder->info().cpu;
    }
  }
}

INSTANTIATE_TEST_SUITE_P(Precisions, StepAllocationTest,
                         testing::Values(Precision::kF32, Precision::kBf16, Precision::kInt8,
                                         Precision::kInt4, Precision::kInt4G128),
                         [](const auto& info) {
                           std::string name(PrecisionName(info.param));
                           std::erase(name, '-');
                           return name;
                         });

}  // namespace
}  // namespace hocket
