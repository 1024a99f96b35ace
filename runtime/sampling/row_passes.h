// The kernels over a whole row. Where a row has the threads to itself, the vocabulary is shared
// out: it is cut into segments of a fixed length, and what they give is put together in their order
// or is exact in any, so the bits depend on the row alone, not on how many threads there were.
// Called by the thread that owns the scratch.
#ifndef HOCKET_RUNTIME_SAMPLING_ROW_PASSES_H_
#define HOCKET_RUNTIME_SAMPLING_ROW_PASSES_H_

#include <cstddef>
#include <cstdint>

#include "runtime/sampling/filter_kernels.h"
#include "runtime/sampling/row_kernels.h"
#include "runtime/sampling/selection.h"

namespace hocket::row_passes {

inline constexpr size_t kSegment = 64 * row_kernels::kChunk;  // Tokens.

// Rows shorter than this are one thread's: waking others costs more than they save.
inline constexpr size_t kSharedFrom = 8 * kSegment;

// As the kernels of the same names say; chunk arrays are the scratch's, [Chunks(n)].
row_kernels::Scan ScanRow(const float* logits, size_t n, RowScratch& scratch);
float MaskRow(const float* logits, size_t n, const uint32_t* mask, const uint32_t* other,
              RowScratch& scratch);  // Into scratch.masked.
uint64_t SumWeights(const float* logits, size_t n, float max, float inverse_temperature,
                    RowScratch& scratch);
row_kernels::Spread FiniteSpread(const float* logits, size_t n, float max, RowScratch& scratch);

// Into scratch.keys and scratch.ids; scratch.open_keys and open_ids are overwritten.
size_t CollectAtLeast(const float* logits, size_t n, float bound, RowScratch& scratch);

uint64_t StoreRelative(const float* keys, size_t count, float max, float inverse_temperature,
                       RowScratch& scratch);  // Into scratch.relative.
uint64_t SumKept(const row_kernels::Candidates& candidates, const row_kernels::Cut& cut,
                 RowScratch& scratch);

// The buckets' sums, anew, in the first of scratch.buckets.
void SumBuckets(const row_kernels::Candidates& candidates, const row_kernels::Buckets& buckets,
                RowScratch& scratch);

}  // namespace hocket::row_passes

#endif  // HOCKET_RUNTIME_SAMPLING_ROW_PASSES_H_
