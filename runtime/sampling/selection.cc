#include "runtime/sampling/selection.h"

#include <algorithm>
#include <array>
#include <functional>
#include <limits>

namespace hocket {
namespace {

using row_kernels::Candidates;
using row_kernels::Cut;
using row_kernels::Split;

constexpr size_t kSortAtMost = 128;  // So many candidates are sorted rather than split.
constexpr size_t kPivotSamples = 64;

struct Entry {
  float key;
  int32_t id;
  uint64_t weight;
};

bool Before(const Entry& a, const Entry& b) {
  return a.key > b.key || (a.key == b.key && a.id < b.id);
}

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
  const size_t count = row_kernels::CollectAtLeast(logits, n, scratch.chunk_max.data(), bound,
                                                   scratch.keys.data(), scratch.ids.data());
  for (size_t i = 0; i < count; ++i) scratch.order[i] = PackOrder(scratch.keys[i], scratch.ids[i]);
  const auto begin = scratch.order.begin();
  if (k < count) std::nth_element(begin, begin + (k - 1), begin + count);
  return count;
}

// Sorts the few candidates left and walks them until their weight reaches `need`.
Nucleus Walk(const Candidates& candidates, uint64_t need) {
  std::array<Entry, kSortAtMost> entries;
  for (size_t i = 0; i < candidates.count; ++i) {
    entries[i] = {candidates.keys[i], candidates.Id(i),
                  row_kernels::Weight(candidates.relative[i])};
  }
  std::sort(entries.begin(), entries.begin() + candidates.count, Before);
  uint64_t weight = 0;
  size_t last = 0;
  for (; last < candidates.count; ++last) {
    weight += entries[last].weight;
    if (weight >= need) break;
  }
  return {{entries[last].key, entries[last].id}, weight};
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

// A key near the place where the weight reaches need / total, judged by evenly spaced candidates.
// Every other turn the median, which halves their number however the weight lies.
float Pivot(const Candidates& candidates, uint64_t total, uint64_t need, bool median) {
  std::array<Entry, kPivotSamples> samples;
  const size_t stride = candidates.count / kPivotSamples;
  double sampled = 0;
  for (size_t s = 0; s < kPivotSamples; ++s) {
    const size_t i = s * stride + stride / 2;
    samples[s] = {candidates.keys[i], candidates.Id(i),
                  row_kernels::Weight(candidates.relative[i])};
    sampled += static_cast<double>(samples[s].weight);
  }
  std::sort(samples.begin(), samples.end(), Before);
  if (median) return samples[kPivotSamples / 2].key;
  const double goal = sampled * (static_cast<double>(need) / static_cast<double>(total));
  double reached = 0;
  for (const Entry& sample : samples) {
    reached += static_cast<double>(sample.weight);
    if (reached >= goal) return sample.key;
  }
  return samples.back().key;
}

}  // namespace

RowScratch::RowScratch(size_t vocabulary)
    : chunk_max(row_kernels::Chunks(vocabulary)),
      chunk_sums(row_kernels::Chunks(vocabulary)),
      bounds(row_kernels::Chunks(vocabulary)),
      order(vocabulary),
      keys(vocabulary + row_kernels::kSlack),
      relative(vocabulary + row_kernels::kSlack),
      open_keys(vocabulary + row_kernels::kSlack),
      open_relative(vocabulary + row_kernels::kSlack),
      ids(vocabulary + row_kernels::kSlack),
      open_ids(vocabulary + row_kernels::kSlack),
      typicality(vocabulary + row_kernels::kSlack),
      masked(vocabulary + row_kernels::kSlack) {
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

Nucleus SmallestSetReaching(const Candidates& candidates, uint64_t total, uint64_t need,
                            RowScratch& scratch) {
  Candidates open = candidates;  // The set ends within these,
  uint64_t above = 0;            // after tokens of this weight.
  float* const keys = scratch.open_keys.data();
  float* const relative = scratch.open_relative.data();
  int32_t* const ids = scratch.open_ids.data();
  for (bool median = false;; median = !median) {
    const uint64_t rest = need - above;
    Nucleus end;
    if (open.count <= kSortAtMost) {
      end = Walk(open, rest);
      return {end.cut, above + end.weight};
    }
    const float pivot = Pivot(open, total, rest, median);
    const Split split = row_kernels::SumAround(open, pivot);
    if (split.above >= rest) {
      open.count = row_kernels::KeepAbove(open, pivot, keys, relative, ids);
      total = split.above;
    } else if (split.above + split.equal >= rest) {
      end = EndWithinTies(open, pivot, rest - split.above);
      return {end.cut, above + split.above + end.weight};
    } else {
      open.count = row_kernels::KeepBelow(open, pivot, keys, relative, ids);
      above += split.above + split.equal;
      total -= split.above + split.equal;
    }
    open = {keys, relative, ids, open.count};
  }
}

}  // namespace hocket
