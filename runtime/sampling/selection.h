// Which tokens a filter keeps, without sorting the vocabulary: top-k by a bound from chunk maxima,
// top-p by sums over buckets of equal width. The order is always falling logit, ties to the lower
// token id. Functions of their arguments; scratch memory belongs to the caller, one per thread.
#ifndef HOCKET_RUNTIME_SAMPLING_SELECTION_H_
#define HOCKET_RUNTIME_SAMPLING_SELECTION_H_

#include <bit>
#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

#include "runtime/sampling/filter_kernels.h"
#include "runtime/sampling/row_kernels.h"

namespace hocket {

// Everything that work on one row needs, allocated once for a vocabulary.
struct RowScratch {
  // `most_threads`: how many may work on a row of it together.
  explicit RowScratch(size_t vocabulary, int32_t most_threads = 1);

  int32_t threads = 1;  // That work on the row, at most most_threads.

  std::vector<float> chunk_max;      // [chunks]
  std::vector<uint64_t> chunk_sums;  // [chunks]
  std::vector<float> bounds;         // [chunks], for the selection of a bound.
  std::vector<uint64_t> buckets;     // [most_threads, kBuckets], weights by key.
  std::vector<float> segment_max;    // [segments], see row_passes.h,
  std::vector<uint64_t> segment_sums;
  std::vector<row_kernels::Spread> segment_spreads;
  std::vector<uint64_t> order;  // [vocabulary], packed (logit, id).
  // The candidates, and those still undecided; [vocabulary + slack of each segment] each.
  std::vector<float> keys, relative, open_keys, open_relative;
  std::vector<int32_t> ids, open_ids;
  std::vector<float> typicality;     // [vocabulary + slack], of the candidates.
  std::vector<float> masked;         // [vocabulary + slack], the row behind a mask.
  std::vector<int32_t> edited_ids;   // Logits that were changed, in order,
  std::vector<float> edited_logits;  // and what they were before.
};

// An integer that rises as the order goes: falling logit, then rising id.
inline uint64_t PackOrder(float logit, int32_t id) {
  const uint32_t bits = std::bit_cast<uint32_t>(logit + 0.0f);  // -0 is 0.
  const uint32_t rising = bits & 0x80000000u ? ~bits : bits | 0x80000000u;
  return uint64_t{~rising} << 32 | static_cast<uint32_t>(id);
}
inline int32_t PackedId(uint64_t packed) { return static_cast<int32_t>(packed & 0xffffffffu); }

// Collects the k most likely tokens of a row into scratch.keys and scratch.ids, ascending by id,
// and returns how many: min(k, n). scratch.chunk_max must hold the row's chunk maxima, k > 0.
size_t TopK(const float* logits, size_t n, size_t k, RowScratch& scratch);

// The first `count` of the row's tokens in falling order; valid until the scratch is used again.
std::span<const uint64_t> SortedTop(const float* logits, size_t n, size_t count,
                                    RowScratch& scratch);

struct Nucleus {
  row_kernels::Cut cut;
  uint64_t weight = 0;  // Of the tokens kept.
};

// The smallest set of first tokens whose weight reaches `need`, at least 1 and at most the weight
// of all `candidates`. (Holtzman et al., "The Curious Case of Neural Text Degeneration", 2020.)
Nucleus SmallestSetReaching(const row_kernels::Candidates& candidates, uint64_t need,
                            RowScratch& scratch);

}  // namespace hocket

#endif  // HOCKET_RUNTIME_SAMPLING_SELECTION_H_
