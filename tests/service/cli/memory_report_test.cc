#include "service/cli/memory_report.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace hocket {
namespace {

TEST(MemoryReport, HasALineForEachPartThePeakAndWhatThereIs) {
  ModelInfo info;
  info.precision = Precision::kInt8;
  info.kv_precision = KvPrecision::kBf16;
  info.weights_mapped = true;
  info.weight_bytes = int64_t{1200} << 20;
  info.embedding_bytes = int64_t{500} << 20;
  info.kv_cache_bytes = int64_t{64} << 20;
  info.kv_blocks = 128;
  info.arena_bytes = int64_t{20} << 20;
  info.process_bytes = int64_t{40} << 20;
  info.available_memory_bytes = int64_t{8152} << 20;
  EXPECT_THAT(
      MemoryReport(info),
      testing::ElementsAre(
          "weights        1.2 GiB  int8, mapped from the weight cache",
          "KV cache        64 MiB  bf16, 128 blocks, page by page as needed",
          "step arena      20 MiB", "the rest        40 MiB  program and tokenizer",
          "expected peak  1.3 GiB  and 500 MiB of embedding in the checkpoint's file, which the "
          "system caches",
          "available      8.0 GiB  before loading"));
}

TEST(MemoryReport, ThePeakIsTheSumOfTheParts) {
  ModelInfo info;
  info.weight_bytes = 1;
  info.embedding_bytes = 10;  // No part of the process.
  info.kv_cache_bytes = 100;
  info.arena_bytes = 1000;
  info.process_bytes = 10000;
  EXPECT_EQ(info.ExpectedPeakBytes(), 11101);
}

}  // namespace
}  // namespace hocket
