#include "runtime/sampling/row_filters.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <limits>

#include "runtime/sampling/filter_kernels.h"
#include "runtime/sampling/row_passes.h"

namespace hocket {
namespace {

using row_kernels::Candidates;
using row_kernels::Cut;
using row_kernels::kChunk;

constexpr float kInfinity = std::numeric_limits<float>::infinity();
constexpr Cut kNoneAfter{-kInfinity, std::numeric_limits<int32_t>::max()};
constexpr Cut kNoneBefore{kInfinity, -1};

// A number in [0, total) from 64 uniform bits.
uint64_t Scale(uint64_t random, uint64_t total) {
  return static_cast<uint64_t>(static_cast<unsigned __int128>(random) * total >> 64);
}

// The least whole weight that is at least this share of `total`, and at least 1.
uint64_t ShareOf(float share, uint64_t total) {
  const double wanted = static_cast<double>(share) * static_cast<double>(total);
  return std::clamp(static_cast<uint64_t>(std::ceil(wanted)), uint64_t{1}, total);
}

// The chunk in which the running sum of weights passes `target`, which becomes relative to it.
size_t FindChunk(const uint64_t* sums, uint64_t& target) {
  size_t chunk = 0;
  while (sums[chunk] <= target) target -= sums[chunk++];
  return chunk;
}

// The lowest logit within `sigmas` standard deviations of the highest (Tang et al., "Top-nσ",
// 2024).
float SigmaBound(const float* logits, size_t n, float max, float sigmas, RowScratch& scratch) {
  if (std::isinf(max)) return max;
  const row_kernels::Spread spread = row_passes::FiniteSpread(logits, n, max, scratch);
  const double count = static_cast<double>(spread.count);
  const double mean = spread.sum / count;
  const double variance = std::max(0.0, spread.sum_of_squares / count - mean * mean);
  return static_cast<float>(static_cast<double>(max) - sigmas * std::sqrt(variance));
}

// The lowest logit whose probability is `min_p` of the highest (Nguyen et al., "Min-p", 2024).
float MinPBound(float max, const RowRequest& request) {
  const double below =
      static_cast<double>(request.temperature) * std::log(static_cast<double>(request.min_p));
  return static_cast<float>(static_cast<double>(max) + below);
}

// A logit below which top-p keeps nothing: tokens that each weigh less than the n-th part of what
// top-p leaves out leave out less together.
float NucleusBound(uint64_t total, size_t n, float max, const RowRequest& request) {
  const double left_out = static_cast<double>(total) * (1 - static_cast<double>(request.top_p)) /
                          static_cast<double>(n);
  const double exponent = std::log(std::max(left_out, 0.25) * 0x1p-40);  // < 0
  const double temperature = request.temperature;
  // Rounding may not cost a token, and one too many is no harm.
  const double slack = 1e-5 * (1 - exponent) * temperature + 1e-6 * std::abs(double{max});
  const double bound = max + exponent * temperature - slack;
  return bound > -double{std::numeric_limits<float>::max()} ? static_cast<float>(bound)
                                                            : -kInfinity;
}

class Filters {
 public:
  Filters(const float* logits, size_t n, float max, const RowRequest& request, RowScratch& scratch)
      : logits_(logits),
        n_(n),
        max_(max),
        inverse_temperature_(InverseTemperature(request.temperature)),
        request_(request),
        scratch_(scratch) {}

  KeptTokens Apply() {
    if (request_.top_n_sigma > 0)
      sigma_ = SigmaBound(logits_, n_, max_, request_.top_n_sigma, scratch_);
    if (request_.min_p > 0) min_ = MinPBound(max_, request_);
    const bool few = request_.top_k > 0 && static_cast<size_t>(request_.top_k) < n_;
    if (few) {
      CollectTopK();
    } else if (sigma_ > -kInfinity) {
      Collect(sigma_);
    } else if (request_.top_p < 1) {
      CollectNucleus();
    } else {
      Collect(min_);
    }
    if (request_.top_p < 1) ApplyTopP();
    if (min_ > kept_.last.key) kept_.last = {min_, kNoneAfter.id};
    if (request_.typical_p < 1) ApplyTypicalP();
    if (request_.xtc_threshold > 0) ApplyXtc();
    kept_.weight = row_passes::SumKept(kept_.candidates, kept_.last, scratch_);
    return kept_;
  }

 private:
  // The candidates: logits of at least `bound`.
  void Collect(float bound) {
    kept_.candidates = {logits_, scratch_.relative.data(), nullptr, n_};
    if (bound > -kInfinity) {
      kept_.candidates = {scratch_.keys.data(), scratch_.relative.data(), scratch_.ids.data(),
                          row_passes::CollectAtLeast(logits_, n_, bound, scratch_)};
    }
    StoreRelative();
  }

  void CollectTopK() {
    kept_.candidates = {scratch_.keys.data(), scratch_.relative.data(), scratch_.ids.data(),
                        TopK(logits_, n_, request_.top_k, scratch_)};
    DropBelow(sigma_);
    StoreRelative();
  }

  // Top-p takes its share of all tokens, but only those that it may keep are collected, and fewer
  // where min-p, which comes after it but needs no sums, will drop them anyway.
  void CollectNucleus() {
    const uint64_t total =
        row_passes::SumWeights(logits_, n_, max_, inverse_temperature_, scratch_);
    const float bound = NucleusBound(total, n_, max_, request_);
    Collect(std::max(bound, min_));
    if (bound > min_ && collected_ < ShareOf(request_.top_p, total)) Collect(min_);
    total_ = total;
  }

  void StoreRelative() {
    const Candidates& candidates = kept_.candidates;
    collected_ = row_passes::StoreRelative(candidates.keys, candidates.count, max_,
                                           inverse_temperature_, scratch_);
    total_ = collected_;
  }

  void DropBelow(float bound) {
    size_t kept = 0;
    for (size_t i = 0; i < kept_.candidates.count; ++i) {
      if (scratch_.keys[i] < bound) continue;
      scratch_.keys[kept] = scratch_.keys[i];
      scratch_.ids[kept++] = scratch_.ids[i];
    }
    kept_.candidates.count = kept;
  }

  // The share is of all tokens that top-n-sigma and top-k kept. When the candidates, fewer because
  // of min-p, do not reach it, min-p is the tighter of the two.
  void ApplyTopP() {
    const uint64_t need = ShareOf(request_.top_p, total_);
    if (need > collected_) return;
    kept_.last = SmallestSetReaching(kept_.candidates, need, scratch_).cut;
  }

  void Compact(const float* by, const Cut& cut) {
    kept_.candidates.count = row_kernels::KeepCut(kept_.candidates, by, cut, scratch_.keys.data(),
                                                  scratch_.relative.data(), scratch_.ids.data());
    kept_.candidates.keys = scratch_.keys.data();
    kept_.candidates.ids = scratch_.ids.data();
    kept_.last = kNoneAfter;
  }

  // Meister et al., "Locally Typical Sampling", 2023: of the tokens left, the smallest set of those
  // whose surprise is nearest to the expected one. Their order is by that distance.
  void ApplyTypicalP() {
    if (kept_.last.key > -kInfinity) Compact(kept_.candidates.keys, kept_.last);
    const Candidates& candidates = kept_.candidates;
    const uint64_t total = row_passes::SumKept(candidates, kNoneAfter, scratch_);
    const uint64_t surprise = row_kernels::SumSurprise(
        candidates.keys, candidates.relative, candidates.count, max_, inverse_temperature_);
    const double mean = static_cast<double>(surprise) / static_cast<double>(total);
    float* const typicality = scratch_.typicality.data();
    row_kernels::StoreTypicality(candidates.keys, candidates.count, max_, inverse_temperature_,
                                 static_cast<float>(mean), typicality);
    Candidates by_typicality = candidates;
    by_typicality.keys = typicality;
    const Nucleus nucleus =
        SmallestSetReaching(by_typicality, ShareOf(request_.typical_p, total), scratch_);
    Compact(typicality, nucleus.cut);
  }

  // Of the tokens at least as likely as the threshold only the least likely stays. Those excluded
  // are candidates without weight.
  void ApplyXtc() {
    const Candidates& candidates = kept_.candidates;
    const uint64_t total = row_passes::SumKept(candidates, kept_.last, scratch_);
    const uint64_t need = ShareOf(request_.xtc_threshold, total);
    // Lower by more than exp's rounding, so that all that come before a top choice are found too.
    const float bound =
        static_cast<float>((static_cast<double>(need) - 0.5) * 0x1p-40 * (1 - 1e-6));
    const int32_t* const places = scratch_.open_ids.data();
    const size_t found =
        row_kernels::CollectAtLeast(scratch_.relative.data(), candidates.count, nullptr, bound,
                                    scratch_.open_relative.data(), scratch_.open_ids.data());
    Cut least = kNoneBefore;
    for (size_t i = 0; i < found; ++i) {
      if (row_kernels::Weight(scratch_.open_relative[i]) < need) continue;
      const Cut choice{candidates.keys[places[i]], candidates.Id(places[i])};
      if (kept_.last.Keeps(choice.key, choice.id) && choice.key <= least.key) least = choice;
    }
    kept_.first = least;
    for (size_t i = 0; i < found; ++i) {
      const float key = candidates.keys[places[i]];
      if (key > least.key || (key == least.key && candidates.Id(places[i]) < least.id)) {
        scratch_.relative[places[i]] = 0;
      }
    }
  }

  const float* const logits_;
  const size_t n_;
  const float max_;
  const float inverse_temperature_;
  const RowRequest& request_;
  RowScratch& scratch_;
  float sigma_ = -kInfinity;  // Logits below these bounds are dropped.
  float min_ = -kInfinity;
  uint64_t collected_ = 0;  // The weight of the candidates,
  uint64_t total_ = 0;      // and of what top-p takes its share of.
  KeptTokens kept_{{}, kNoneAfter, kNoneBefore, 0};
};

// Draws from all tokens: only the chunk that is hit is looked at closely.
TokenId DrawFromAll(const KeptTokens& kept, float max, const RowRequest& request,
                    RowScratch& scratch) {
  const size_t n = kept.candidates.count;
  uint64_t target = Scale(request.random, kept.weight);
  const size_t begin = FindChunk(scratch.chunk_sums.data(), target) * kChunk;
  std::array<float, kChunk + row_kernels::kSlack> relative;
  row_kernels::StoreRelative(kept.candidates.keys + begin, std::min(kChunk, n - begin), max,
                             InverseTemperature(request.temperature), relative.data());
  for (size_t i = 0;; ++i) {
    const uint64_t weight = row_kernels::Weight(relative[i]);
    if (target < weight) return static_cast<TokenId>(begin + i);
    target -= weight;
  }
}

}  // namespace

float InverseTemperature(float temperature) {
  return std::max(1.0f / temperature, std::numeric_limits<float>::min());
}

KeptTokens FilterRow(const float* logits, size_t n, float max, const RowRequest& request,
                     RowScratch& scratch) {
  const bool few = request.top_k > 0 && static_cast<size_t>(request.top_k) < n;
  if (few || request.top_p < 1 || request.min_p > 0 || request.typical_p < 1 ||
      request.top_n_sigma > 0 || request.xtc_threshold > 0) {
    return Filters(logits, n, max, request, scratch).Apply();
  }
  return {{logits, nullptr, nullptr, n},
          kNoneAfter,
          kNoneBefore,
          row_passes::SumWeights(logits, n, max, InverseTemperature(request.temperature), scratch)};
}

TokenId DrawToken(const KeptTokens& kept, float max, const RowRequest& request,
                  RowScratch& scratch) {
  const Candidates& candidates = kept.candidates;
  if (candidates.relative == nullptr) return DrawFromAll(kept, max, request, scratch);
  uint64_t target = Scale(request.random, kept.weight);
  for (size_t i = FindChunk(scratch.chunk_sums.data(), target) * kChunk;; ++i) {
    if (!kept.Keeps(i)) continue;
    const uint64_t weight = row_kernels::Weight(candidates.relative[i]);
    if (target < weight) return candidates.Id(i);
    target -= weight;
  }
}

}  // namespace hocket
