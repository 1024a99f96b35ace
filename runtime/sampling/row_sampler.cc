#include "runtime/sampling/row_sampler.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <limits>
#include <utility>

namespace hocket {
namespace {

using row_kernels::Candidates;
using row_kernels::Cut;
using row_kernels::kChunk;
using row_kernels::Scan;

constexpr float kInfinity = std::numeric_limits<float>::infinity();

// A number in [0, total) from 64 uniform bits.
uint64_t Scale(uint64_t random, uint64_t total) {
  return static_cast<uint64_t>(static_cast<unsigned __int128>(random) * total >> 64);
}

// The chunk in which the running sum of weights passes `target`, which becomes relative to it.
size_t FindChunk(const uint64_t* sums, uint64_t& target) {
  size_t chunk = 0;
  while (sums[chunk] <= target) target -= sums[chunk++];
  return chunk;
}

TokenId FirstOfMax(const float* logits, size_t n, float max, const RowScratch& scratch) {
  size_t chunk = 0;
  while (scratch.chunk_max[chunk] != max) ++chunk;
  size_t i = chunk * kChunk;
  while (i + 1 < n && logits[i] != max) ++i;
  return static_cast<TokenId>(i);
}

// Draws from all tokens: only the chunk that is hit is looked at closely.
TokenId DrawFromAll(const float* logits, size_t n, float max, float inverse_temperature,
                    uint64_t random, RowScratch& scratch) {
  const uint64_t total =
      row_kernels::SumWeights(logits, n, max, inverse_temperature, scratch.chunk_sums.data());
  uint64_t target = Scale(random, total);
  const size_t begin = FindChunk(scratch.chunk_sums.data(), target) * kChunk;
  std::array<float, kChunk + row_kernels::kSlack> relative;
  row_kernels::StoreRelative(logits + begin, std::min(kChunk, n - begin), max, inverse_temperature,
                             relative.data());
  for (size_t i = 0;; ++i) {
    const uint64_t weight = row_kernels::Weight(relative[i]);
    if (target < weight) return static_cast<TokenId>(begin + i);
    target -= weight;
  }
}

TokenId DrawFromKept(const Candidates& candidates, const Cut& cut, uint64_t random,
                     RowScratch& scratch) {
  const uint64_t total = row_kernels::SumKept(candidates, cut, scratch.chunk_sums.data());
  uint64_t target = Scale(random, total);
  for (size_t i = FindChunk(scratch.chunk_sums.data(), target) * kChunk;; ++i) {
    if (!cut.Keeps(candidates.keys[i], candidates.Id(i))) continue;
    const uint64_t weight = row_kernels::Weight(candidates.relative[i]);
    if (target < weight) return candidates.Id(i);
    target -= weight;
  }
}

TokenId Draw(const float* logits, size_t n, float max, const RowRequest& request,
             RowScratch& scratch) {
  if (request.temperature == 0 || request.top_k == 1) return FirstOfMax(logits, n, max, scratch);
  const float inverse_temperature =
      std::max(1.0f / request.temperature, std::numeric_limits<float>::min());
  const bool few = request.top_k > 0 && static_cast<size_t>(request.top_k) < n;
  const bool nucleus = request.top_p < 1;
  if (!few && !nucleus) {
    return DrawFromAll(logits, n, max, inverse_temperature, request.random, scratch);
  }

  Candidates candidates{logits, scratch.relative.data(), nullptr, n};
  if (few) {
    candidates.keys = scratch.keys.data();
    candidates.ids = scratch.ids.data();
    candidates.count = TopK(logits, n, request.top_k, scratch);
  }
  const uint64_t total = row_kernels::StoreRelative(candidates.keys, candidates.count, max,
                                                    inverse_temperature, scratch.relative.data());
  Cut cut{-kInfinity, std::numeric_limits<int32_t>::max()};
  if (nucleus) {
    const double wanted = static_cast<double>(request.top_p) * static_cast<double>(total);
    const uint64_t need = std::clamp(static_cast<uint64_t>(std::ceil(wanted)), uint64_t{1}, total);
    cut = SmallestSetReaching(candidates, total, need, scratch).cut;
  }
  return DrawFromKept(candidates, cut, request.random, scratch);
}

// Log-softmax of a row with this maximum and sum of weights. Of infinite logits only +inf is
// likely.
class LogSoftmax {
 public:
  LogSoftmax(float max, uint64_t sum)
      : max_(max), log_sum_(std::log(static_cast<double>(sum) * 0x1p-40)) {}
  float operator()(float logit) const {
    const double below = logit == max_ ? 0.0 : static_cast<double>(logit) - max_;
    return static_cast<float>(below - log_sum_);
  }

 private:
  float max_;
  double log_sum_;
};

// `scratch.chunk_max` must be that of `logits`.
void Score(const float* logits, size_t n, const LogSoftmax& log_softmax, RowScratch& scratch,
           std::span<TokenLogprob> top, RowResult& result) {
  const float chosen = logits[result.token];
  result.logprob = log_softmax(chosen);
  const size_t before = row_kernels::CountAtLeast(logits, result.token, chosen) +
                        row_kernels::CountAbove(logits + result.token, n - result.token, chosen);
  result.rank = static_cast<int32_t>(before) + 1;
  for (const uint64_t packed : SortedTop(logits, n, top.size(), scratch)) {
    const TokenId id = PackedId(packed);
    top[result.top_count++] = {id, log_softmax(logits[id])};
  }
}

}  // namespace

RowResult SampleRow(std::span<float> logits, const RowRequest& request, RowScratch& scratch,
                    std::span<float> masked_logits, std::span<TokenLogprob> top) {
  const size_t n = logits.size();
  RowResult result;
  const Scan model = row_kernels::ScanRow(logits.data(), n, scratch.chunk_max.data());
  if (model.has_nan) result.error = RowError::kNan;
  if (!model.has_nan && model.max == -kInfinity) result.error = RowError::kNoToken;
  if (result.error != RowError::kNone) return result;

  if (request.given >= 0) {
    result.token = request.given;
  } else {
    Scan scan = model;
    for (size_t i = 0; i < request.masked.size(); ++i) {
      masked_logits[i] = std::exchange(logits[request.masked[i]], -kInfinity);
    }
    if (!request.masked.empty()) {
      scan = row_kernels::ScanRow(logits.data(), n, scratch.chunk_max.data());
    }
    if (scan.max == -kInfinity) result.error = RowError::kNoToken;
    if (result.error == RowError::kNone) {
      result.token = Draw(logits.data(), n, scan.max, request, scratch);
    }
    for (size_t i = request.masked.size(); i-- > 0;) {  // Backwards, lest one is named twice.
      logits[request.masked[i]] = masked_logits[i];
    }
    if (result.error != RowError::kNone) return result;
    if (request.scored && !request.masked.empty()) {
      row_kernels::ScanRow(logits.data(), n, scratch.chunk_max.data());
    }
  }
  if (request.scored) {
    const uint64_t sum =
        row_kernels::SumWeights(logits.data(), n, model.max, 1.0f, scratch.chunk_sums.data());
    Score(logits.data(), n, LogSoftmax(model.max, sum), scratch, top.first(request.top_logprobs),
          result);
  }
  return result;
}

}  // namespace hocket
