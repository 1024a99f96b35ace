#include "runtime/sampling/row_passes.h"

#include <omp.h>

#include <algorithm>
#include <limits>

namespace hocket::row_passes {
namespace {

using row_kernels::Candidates;
using row_kernels::kBuckets;
using row_kernels::kChunk;
using row_kernels::kSlack;

size_t Segments(size_t n) { return (n + kSegment - 1) / kSegment; }

bool IsShared(size_t n, const RowScratch& scratch) {
  return scratch.threads > 1 && n >= kSharedFrom;
}

// Calls f(segment, begin, count) for each segment of [0, n).
template <class F>
void ForEachSegment(size_t n, const RowScratch& scratch, F&& f) {
  const auto segments = static_cast<int64_t>(Segments(n));
  const auto call = [&](int64_t segment) {
    const size_t begin = segment * kSegment;
    f(static_cast<size_t>(segment), begin, std::min(kSegment, n - begin));
  };
  if (!IsShared(n, scratch)) {
    for (int64_t segment = 0; segment < segments; ++segment) call(segment);
    return;
  }
#pragma omp parallel for schedule(static) num_threads(scratch.threads)
  for (int64_t segment = 0; segment < segments; ++segment) call(segment);
}

uint64_t Sum(const std::vector<uint64_t>& values, size_t count) {
  uint64_t sum = 0;
  for (size_t i = 0; i < count; ++i) sum += values[i];
  return sum;
}

float Largest(const std::vector<float>& values, size_t count) {
  return *std::max_element(values.begin(), values.begin() + count);
}

Candidates Part(const Candidates& all, size_t begin, size_t count) {
  return {all.keys + begin, all.relative + begin, all.ids == nullptr ? nullptr : all.ids + begin,
          count, all.first_id + static_cast<int32_t>(begin)};
}

}  // namespace

row_kernels::Scan ScanRow(const float* logits, size_t n, RowScratch& scratch) {
  ForEachSegment(n, scratch, [&](size_t segment, size_t begin, size_t count) {
    const row_kernels::Scan scan =
        row_kernels::ScanRow(logits + begin, count, scratch.chunk_max.data() + begin / kChunk);
    scratch.segment_max[segment] = scan.max;
    scratch.segment_sums[segment] = scan.has_nan;
  });
  const size_t segments = Segments(n);
  return {Largest(scratch.segment_max, segments), Sum(scratch.segment_sums, segments) != 0};
}

float MaskRow(const float* logits, size_t n, const uint32_t* mask, const uint32_t* other,
              RowScratch& scratch) {
  ForEachSegment(n, scratch, [&](size_t segment, size_t begin, size_t count) {
    scratch.segment_max[segment] = row_kernels::MaskRow(
        logits + begin, count, mask + begin / 32, other == nullptr ? nullptr : other + begin / 32,
        scratch.masked.data() + begin, scratch.chunk_max.data() + begin / kChunk);
  });
  return Largest(scratch.segment_max, Segments(n));
}

uint64_t SumWeights(const float* logits, size_t n, float max, float inverse_temperature,
                    RowScratch& scratch) {
  ForEachSegment(n, scratch, [&](size_t segment, size_t begin, size_t count) {
    scratch.segment_sums[segment] = row_kernels::SumWeights(
        logits + begin, count, scratch.chunk_max.data() + begin / kChunk, max, inverse_temperature,
        scratch.chunk_sums.data() + begin / kChunk);
  });
  return Sum(scratch.segment_sums, Segments(n));
}

row_kernels::Spread FiniteSpread(const float* logits, size_t n, float max, RowScratch& scratch) {
  ForEachSegment(n, scratch, [&](size_t segment, size_t begin, size_t count) {
    scratch.segment_spreads[segment] = row_kernels::FiniteSpread(logits + begin, count, max);
  });
  row_kernels::Spread whole;
  for (size_t segment = 0; segment < Segments(n); ++segment) {
    const row_kernels::Spread& part = scratch.segment_spreads[segment];
    whole.count += part.count;
    whole.sum += part.sum;
    whole.sum_of_squares += part.sum_of_squares;
  }
  return whole;
}

size_t CollectAtLeast(const float* logits, size_t n, float bound, RowScratch& scratch) {
  if (!IsShared(n, scratch)) {
    return row_kernels::CollectAtLeast(logits, n, scratch.chunk_max.data(), bound,
                                       scratch.keys.data(), scratch.ids.data());
  }
  // Each segment's apart, with room for the compressed stores' slack, and then one after another.
  const auto place = [](size_t segment) { return segment * (kSegment + kSlack); };
  ForEachSegment(n, scratch, [&](size_t segment, size_t begin, size_t count) {
    int32_t* const ids = scratch.open_ids.data() + place(segment);
    const size_t collected = row_kernels::CollectAtLeast(
        logits + begin, count, scratch.chunk_max.data() + begin / kChunk, bound,
        scratch.open_keys.data() + place(segment), ids);
    for (size_t i = 0; i < collected; ++i) ids[i] += static_cast<int32_t>(begin);
    scratch.segment_sums[segment] = collected;
  });
  size_t total = 0;
  for (size_t segment = 0; segment < Segments(n); ++segment) {
    const size_t collected = scratch.segment_sums[segment];
    std::copy_n(scratch.open_keys.begin() + place(segment), collected,
                scratch.keys.begin() + total);
    std::copy_n(scratch.open_ids.begin() + place(segment), collected, scratch.ids.begin() + total);
    total += collected;
  }
  return total;
}

uint64_t StoreRelative(const float* keys, size_t count, float max, float inverse_temperature,
                       RowScratch& scratch) {
  ForEachSegment(count, scratch, [&](size_t segment, size_t begin, size_t part) {
    scratch.segment_sums[segment] = row_kernels::StoreRelative(
        keys + begin, part, max, inverse_temperature, scratch.relative.data() + begin);
  });
  return Sum(scratch.segment_sums, Segments(count));
}

uint64_t SumKept(const Candidates& candidates, const row_kernels::Cut& cut, RowScratch& scratch) {
  ForEachSegment(candidates.count, scratch, [&](size_t segment, size_t begin, size_t count) {
    scratch.segment_sums[segment] = row_kernels::SumKept(
        Part(candidates, begin, count), cut, scratch.chunk_sums.data() + begin / kChunk);
  });
  return Sum(scratch.segment_sums, Segments(candidates.count));
}

void SumBuckets(const Candidates& candidates, const row_kernels::Buckets& buckets,
                RowScratch& scratch) {
  const bool shared = IsShared(candidates.count, scratch);
  const size_t sums = kBuckets * (shared ? scratch.threads : 1);
  std::fill_n(scratch.buckets.begin(), sums, 0);
  ForEachSegment(candidates.count, scratch, [&](size_t, size_t begin, size_t count) {
    const size_t own = shared ? omp_get_thread_num() : 0;
    row_kernels::AddToBuckets(candidates.keys + begin, candidates.relative + begin, count, buckets,
                              scratch.buckets.data() + own * kBuckets);
  });
  for (size_t i = kBuckets; i < sums; ++i) scratch.buckets[i % kBuckets] += scratch.buckets[i];
}

}  // namespace hocket::row_passes
