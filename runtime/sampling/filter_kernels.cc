#include "runtime/sampling/filter_kernels.h"

#include <array>
#include <cmath>

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "runtime/sampling/filter_kernels.cc"
#include "hwy/foreach_target.h"  // IWYU pragma: keep
#include "hwy/highway.h"
#include "runtime/sampling/row_kernels-inl.h"

HWY_BEFORE_NAMESPACE();
namespace hocket::row_kernels {
namespace HWY_NAMESPACE {

HWY_INLINE float MaxOf(const float* values, size_t count) {
  const DF d;
  const size_t lanes = hn::Lanes(d);
  VF max = hn::Set(d, kLowest);
  size_t i = 0;
  for (; i + lanes <= count; i += lanes) max = hn::Max(max, hn::LoadU(d, values + i));
  float largest = hn::GetLane(hn::MaxOfLanes(d, max));
  for (; i < count; ++i) largest = HWY_MAX(largest, values[i]);
  return largest;
}

float RescanChunks(const float* logits, size_t n, const int32_t* ids, size_t count,
                   float* chunk_max) {
  size_t done = ~size_t{0};
  for (size_t i = 0; i < count; ++i) {
    const size_t chunk = static_cast<size_t>(ids[i]) / kChunk;
    if (chunk == done) continue;
    done = chunk;
    chunk_max[chunk] = MaxOf(logits + chunk * kChunk, HWY_MIN(kChunk, n - chunk * kChunk));
  }
  return MaxOf(chunk_max, Chunks(n));
}

float MaskRow(const float* logits, size_t n, const uint32_t* mask, const uint32_t* other,
              float* masked, float* chunk_max) {
  const DF d;
  const size_t lanes = hn::Lanes(d);
  const VF lowest = hn::Set(d, kLowest);
  const auto kept = [&](size_t i) {
    uint32_t word = mask[i / 32];
    if (other != nullptr) word &= other[i / 32];
    return uint64_t{word} >> (i % 32);
  };
  for (size_t begin = 0; begin < n; begin += kChunk) {
    const size_t end = HWY_MIN(begin + kChunk, n);
    VF max = lowest;
    size_t i = begin;
    for (; i + lanes <= end; i += lanes) {
      const uint64_t bits = kept(i);
      const auto keep = hn::LoadMaskBits(d, reinterpret_cast<const uint8_t*>(&bits));
      const VF v = hn::IfThenElse(keep, hn::LoadU(d, logits + i), lowest);
      hn::StoreU(v, d, masked + i);
      max = hn::Max(max, v);
    }
    float largest = hn::GetLane(hn::MaxOfLanes(d, max));
    for (; i < end; ++i) {
      masked[i] = (kept(i) & 1) != 0 ? logits[i] : kLowest;
      largest = HWY_MAX(largest, masked[i]);
    }
    chunk_max[begin / kChunk] = largest;
  }
  return MaxOf(chunk_max, Chunks(n));
}

// Sixteen sums, whatever the vector's width: token i goes to sum i % 16.
constexpr size_t kSums = 16;

// The sums from `first` on that one vector holds, over the whole sixteens of `logits`.
HWY_INLINE void AddSpread(const float* logits, size_t n, double max, size_t first, double* sum,
                          double* squares, double* counts) {
  const hn::CappedTag<double, 8> dd;
  const hn::Rebind<float, decltype(dd)> d;
  const auto vmax = hn::Set(dd, max);
  const auto largest = hn::Set(dd, double{std::numeric_limits<float>::max()});
  auto sums = hn::Zero(dd);
  auto squared = hn::Zero(dd);
  auto counted = hn::Zero(dd);
  for (size_t i = first; i < n; i += kSums) {
    const auto logit = hn::PromoteTo(dd, hn::LoadU(d, logits + i));
    const auto finite = hn::Le(hn::Abs(logit), largest);
    const auto distance = hn::IfThenElseZero(finite, hn::Sub(logit, vmax));
    sums = hn::Add(sums, distance);
    squared = hn::Add(squared, hn::Mul(distance, distance));
    counted = hn::Add(counted, hn::IfThenElseZero(finite, hn::Set(dd, 1.0)));
  }
  hn::StoreU(sums, dd, sum + first);
  hn::StoreU(squared, dd, squares + first);
  hn::StoreU(counted, dd, counts + first);
}

Spread FiniteSpread(const float* logits, size_t n, float max) {
  std::array<double, kSums> sum{};
  std::array<double, kSums> squares{};
  std::array<double, kSums> counts{};
  const size_t lanes = hn::Lanes(hn::CappedTag<double, 8>());
  const size_t whole = n - n % kSums;
  for (size_t first = 0; first < kSums; first += lanes) {
    AddSpread(logits, whole, max, first, sum.data(), squares.data(), counts.data());
  }
  for (size_t i = whole; i < n; ++i) {
    if (std::abs(logits[i]) > std::numeric_limits<float>::max()) continue;
    const double distance = double{logits[i]} - double{max};
    sum[i % kSums] += distance;
    squares[i % kSums] += distance * distance;
    counts[i % kSums] += 1;
  }
  Spread spread;
  for (size_t lane = 0; lane < kSums; ++lane) {
    spread.sum += sum[lane];
    spread.sum_of_squares += squares[lane];
    spread.count += static_cast<size_t>(counts[lane]);
  }
  return spread;
}

uint64_t SumSurprise(const float* keys, const float* relative, size_t count, float max,
                     float inverse_temperature) {
  const DF d;
  const size_t lanes = hn::Lanes(d);
  const VF vmax = hn::Set(d, max);
  const VF scale = hn::Set(d, inverse_temperature);
  // Where exp is taken to be 0, this is 0 too.
  const auto surprise = [&](VF key, VF rel) HWY_ATTR {
    const VF x = Exponent(key, vmax, scale);
    const VF product = hn::Mul(rel, hn::Neg(x));
    return hn::IfThenElseZero(hn::Gt(x, hn::Set(d, -30.0f)), product);
  };
  uint64_t total = 0;
  for (size_t begin = 0; begin < count; begin += kChunk) {
    const size_t end = HWY_MIN(begin + kChunk, count);
    WeightSum sum;
    size_t i = begin;
    for (; i + lanes <= end; i += lanes) {
      sum.Add(surprise(hn::LoadU(d, keys + i), hn::LoadU(d, relative + i)));
    }
    if (i < end) {
      sum.Add(
          surprise(LoadTail(keys + i, end - i, kLowest), LoadTail(relative + i, end - i, 0.0f)));
    }
    total += sum.Total();
  }
  return total;
}

void StoreTypicality(const float* keys, size_t count, float max, float inverse_temperature,
                     float mean_surprise, float* typicality) {
  const DF d;
  const size_t lanes = hn::Lanes(d);
  const VF vmax = hn::Set(d, max);
  const VF scale = hn::Set(d, inverse_temperature);
  const VF mean = hn::Set(d, mean_surprise);
  const auto store = [&](VF key, size_t i) HWY_ATTR {
    hn::StoreU(hn::Neg(hn::Abs(hn::Add(Exponent(key, vmax, scale), mean))), d, typicality + i);
  };
  size_t i = 0;
  for (; i + lanes <= count; i += lanes) store(hn::LoadU(d, keys + i), i);
  if (i < count) store(LoadTail(keys + i, count - i, kLowest), i);
}

size_t KeepCut(const Candidates& from, const float* by, const Cut& cut, float* keys,
               float* relative, int32_t* ids) {
  const DF d;
  const DI di;
  const size_t lanes = hn::Lanes(d);
  const VF cut_key = hn::Set(d, cut.key);
  const auto cut_id = hn::Set(di, cut.id);
  size_t count = 0;
  size_t i = 0;
  for (; i + lanes <= from.count; i += lanes) {
    const VF measure = hn::LoadU(d, by + i);
    const VF key = hn::LoadU(d, from.keys + i);
    const VF value = hn::LoadU(d, from.relative + i);
    const auto id = from.ids == nullptr ? hn::Iota(di, from.Id(i)) : hn::LoadU(di, from.ids + i);
    const auto tie_kept =
        hn::And(hn::Eq(measure, cut_key), hn::Not(hn::RebindMask(d, hn::Gt(id, cut_id))));
    const auto keep = hn::Or(hn::Gt(measure, cut_key), tie_kept);
    if (hn::AllFalse(d, keep)) continue;
    const Compressor kept(keep);
    kept.Store(key, keys + count);
    kept.Store(value, relative + count);
    kept.Store(id, ids + count);
    count += hn::CountTrue(d, keep);
  }
  for (; i < from.count; ++i) {
    if (!cut.Keeps(by[i], from.Id(i))) continue;
    keys[count] = from.keys[i];
    relative[count] = from.relative[i];
    ids[count++] = from.Id(i);
  }
  return count;
}

}  // namespace HWY_NAMESPACE
}  // namespace hocket::row_kernels
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace hocket::row_kernels {

HWY_EXPORT(RescanChunks);
HWY_EXPORT(MaskRow);
HWY_EXPORT(FiniteSpread);
HWY_EXPORT(SumSurprise);
HWY_EXPORT(StoreTypicality);
HWY_EXPORT(KeepCut);

float RescanChunks(const float* logits, size_t n, const int32_t* ids, size_t count,
                   float* chunk_max) {
  return HWY_DYNAMIC_DISPATCH(RescanChunks)(logits, n, ids, count, chunk_max);
}
float MaskRow(const float* logits, size_t n, const uint32_t* mask, const uint32_t* other,
              float* masked, float* chunk_max) {
  return HWY_DYNAMIC_DISPATCH(MaskRow)(logits, n, mask, other, masked, chunk_max);
}
Spread FiniteSpread(const float* logits, size_t n, float max) {
  return HWY_DYNAMIC_DISPATCH(FiniteSpread)(logits, n, max);
}
uint64_t SumSurprise(const float* keys, const float* relative, size_t count, float max,
                     float inverse_temperature) {
  return HWY_DYNAMIC_DISPATCH(SumSurprise)(keys, relative, count, max, inverse_temperature);
}
void StoreTypicality(const float* keys, size_t count, float max, float inverse_temperature,
                     float mean_surprise, float* typicality) {
  HWY_DYNAMIC_DISPATCH(StoreTypicality)
  (keys, count, max, inverse_temperature, mean_surprise, typicality);
}
size_t KeepCut(const Candidates& candidates, const float* by, const Cut& cut, float* keys,
               float* relative, int32_t* ids) {
  return HWY_DYNAMIC_DISPATCH(KeepCut)(candidates, by, cut, keys, relative, ids);
}

}  // namespace hocket::row_kernels
#endif  // HWY_ONCE
