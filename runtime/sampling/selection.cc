#include "runtime/sampling/selection.h"

#include <algorithm>
#include <cmath>
#include <functional>
#include <limits>

#include "runtime/sampling/row_passes.h"

namespace hocket {
namespace {

using row_kernels::Buckets;
using row_kernels::Candidates;
using row_kernels::kBuckets;
using row_kernels::KeyRange;

constexpr size_t kSortAtMost = 128;  // So many candidates are sorted rather than split,
constexpr int kMostRounds = 4;       // and what so many rounds of buckets have left.

// At least k logits are no less than this: the k-th largest chunk maximum.
float TopKBound(size_t k, size_t chunks, RowScratch& scratch) {
  if (k > chunks) return -std::numeric_limits<float>::infinity();
  const auto begin = scratch.bounds.begin();
  std::copy_n(scratch.chunk_max.begin(), chunks, begin);
  std::nth_element(begin, begin + (k - 1), begin + chunks, std::greater<float>());
  return *(begin + (k - 1));
}

// Puts all tokens that may be among the first k into scratch.keys and ids, and their packed forms
// into scratch.order, the first min(k, n) of the row in front. Returns how many were collected.
size_t SelectFirst(const float* logits, size_t n, size_t k, RowScratch& scratch) {
  const float bound = TopKBound(k, row_kernels::Chunks(n), scratch);
  const size_t count = row_passes::CollectAtLeast(logits, n, bound, scratch);
  for (size_t i = 0; i < count; ++i) scratch.order[i] = PackOrder(scratch.keys[i], scratch.ids[i]);
  const auto begin = scratch.order.begin();
  if (k < count) std::nth_element(begin, begin + (k - 1), begin + count);
  return count;
}

// The place of a token among the candidates.
size_t PlaceOf(const Candidates& candidates, int32_t id) {
  if (candidates.ids == nullptr) return id - candidates.first_id;
  return std::lower_bound(candidates.ids, candidates.ids + candidates.count, id) - candidates.ids;
}

// Sorts the candidates left, few but for rows made to defeat buckets, and walks them until their
// weight reaches `need`.
Nucleus Walk(const Candidates& candidates, uint64_t need, RowScratch& scratch) {
  const auto begin = scratch.order.begin();
  for (size_t i = 0; i < candidates.count; ++i) {
    *(begin + i) = PackOrder(candidates.keys[i], candidates.Id(i));
  }
  std::sort(begin, begin + candidates.count);
  uint64_t weight = 0;
  size_t place = 0;
  for (size_t i = 0; i < candidates.count && weight < need; ++i) {
    place = PlaceOf(candidates, PackedId(*(begin + i)));
    weight += row_kernels::Weight(candidates.relative[place]);
  }
  return {{candidates.keys[place], candidates.Id(place)}, weight};
}

// All candidates equal to `key` weigh the same; the set ends within them.
Nucleus EndWithinTies(const Candidates& candidates, float key, uint64_t need) {
  uint64_t weight = 0;
  int32_t id = 0;
  for (size_t i = 0; i < candidates.count && weight < need; ++i) {
    if (candidates.keys[i] != key) continue;
    weight += row_kernels::Weight(candidates.relative[i]);
    id = candidates.Id(i);
  }
  return {{key, id}, weight};
}

}  // namespace

RowScratch::RowScratch(size_t vocabulary, int32_t most_threads)
    : chunk_max(row_kernels::Chunks(vocabulary)),
      chunk_sums(row_kernels::Chunks(vocabulary)),
      bounds(row_kernels::Chunks(vocabulary)),
      buckets(most_threads * row_kernels::kBuckets) {
  const size_t segments = (vocabulary + row_passes::kSegment - 1) / row_passes::kSegment;
  segment_max.resize(segments);
  segment_sums.resize(segments);
  segment_spreads.resize(segments);
  order.resize(vocabulary);
  const size_t room = vocabulary + (segments + 1) * row_kernels::kSlack;
  for (std::vector<float>* values :
       {&keys, &relative, &open_keys, &open_relative, &typicality, &masked}) {
    values->resize(room);
  }
  ids.resize(room);
  open_ids.resize(room);
  edited_ids.reserve(vocabulary);
  edited_logits.reserve(vocabulary);
}

size_t TopK(const float* logits, size_t n, size_t k, RowScratch& scratch) {
  const size_t collected = SelectFirst(logits, n, k, scratch);
  if (collected <= k) return collected;
  const uint64_t last = scratch.order[k - 1];
  size_t kept = 0;
  for (size_t i = 0; i < collected; ++i) {
    if (PackOrder(scratch.keys[i], scratch.ids[i]) > last) continue;
    scratch.keys[kept] = scratch.keys[i];
    scratch.ids[kept++] = scratch.ids[i];
  }
  return kept;
}

std::span<const uint64_t> SortedTop(const float* logits, size_t n, size_t count,
                                    RowScratch& scratch) {
  if (count == 0) return {};
  const size_t kept = std::min(count, SelectFirst(logits, n, count, scratch));
  std::sort(scratch.order.begin(), scratch.order.begin() + kept);
  return {scratch.order.data(), kept};
}

Nucleus SmallestSetReaching(const Candidates& candidates, uint64_t need, RowScratch& scratch) {
  Candidates open = candidates;  // The set ends within these,
  uint64_t above = 0;            // after tokens of this weight.
  const auto ended = [&](const Nucleus& end) { return Nucleus{end.cut, above + end.weight}; };
  for (int round = 0; round < kMostRounds && open.count > kSortAtMost; ++round) {
    const KeyRange range = row_kernels::WeighingKeys(open.keys, open.relative, open.count);
    if (range.low == range.high) return ended(EndWithinTies(open, range.high, need - above));
    const Buckets buckets{range.high, static_cast<float>(kBuckets - 1) / (range.high - range.low)};
    if (!(buckets.scale > 0 && std::isfinite(buckets.scale))) break;
    row_passes::SumBuckets(open, buckets, scratch);
    int32_t bucket = 0;
    while (above + scratch.buckets[bucket] < need) above += scratch.buckets[bucket++];
    open.count = row_kernels::KeepBucket(open, buckets, bucket, scratch.open_keys.data(),
                                         scratch.open_relative.data(), scratch.open_ids.data());
    open = {scratch.open_keys.data(), scratch.open_relative.data(), scratch.open_ids.data(),
            open.count};
  }
  return ended(Walk(open, need - above, scratch));
}

}  // namespace hocket
